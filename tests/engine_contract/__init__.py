"""What every engine promises: one suite, inherited by each, on real engines.

`EngineContract` holds for all; `EmbeddedContract` adds what a store on disk promises, `ServerContract` a server.
"""

from engine_contract.batches import DIM, FIELDS, cloud, payloads, points
from engine_contract.engine import EngineContract
from engine_contract.stores import EmbeddedContract, PersistentContract, ServerContract

__all__ = [
    "DIM",
    "FIELDS",
    "EmbeddedContract",
    "EngineContract",
    "PersistentContract",
    "ServerContract",
    "cloud",
    "payloads",
    "points",
]

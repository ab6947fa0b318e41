"""The contract of every engine, whole."""

from engine_contract.definitions import Definitions
from engine_contract.filtering import Filtering
from engine_contract.searching import Searching
from engine_contract.writing import Writing


class EngineContract(Definitions, Writing, Searching, Filtering):
    """Inherit, and give a fixture `store`, the address of a store that may hold other tests' leftovers."""

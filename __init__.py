"""Find patients like this one, on the vector database a hospital already runs.

```python
import cohorts

source = cohorts.open_source("mimic3", "mimic3-demo", unit="patient")
encoder = cohorts.make_encoder("codes", dim=64)
store = cohorts.connect("qdrant:./cohorts.qdrant")
icu = cohorts.ingest(source, encoder, store, "icu", index=cohorts.Hnsw(m=32))
found = icu.like_patient("10006", k=20, where="age >= 60")
```
"""

from typing import TYPE_CHECKING

from cohorts.lazy import lazy_names

__version__ = "0.1.0"
__all__ = [
    "Annoy",
    "Batch",
    "Cohort",
    "CohortsError",
    "CollectionHandle",
    "Encoder",
    "EncoderSpec",
    "Flat",
    "Found",
    "Hit",
    "Hnsw",
    "Ivf",
    "SearchParams",
    "Source",
    "Store",
    "Unit",
    "concept_coverage",
    "connect",
    "ingest",
    "load_encoder",
    "make_encoder",
    "open_source",
    "synthesize",
]

if TYPE_CHECKING:
    from cohorts.analysis.saved.cohort import Cohort
    from cohorts.api import (
        concept_coverage,
        connect,
        ingest,
        load_encoder,
        make_encoder,
        open_source,
        synthesize,
    )
    from cohorts.connectors.base import Hit
    from cohorts.connectors.index import Annoy, Flat, Hnsw, Ivf, SearchParams
    from cohorts.encoders.base import Encoder
    from cohorts.encoders.specs import EncoderSpec
    from cohorts.errors import CohortsError
    from cohorts.records.base import Batch, Source, Unit
    from cohorts.search.found import Found
    from cohorts.store import CollectionHandle, Store
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "cohorts.api": (
                "concept_coverage",
                "connect",
                "ingest",
                "load_encoder",
                "make_encoder",
                "open_source",
                "synthesize",
            ),
            "cohorts.analysis.saved.cohort": ("Cohort",),
            "cohorts.connectors.base": ("Hit",),
            "cohorts.connectors.index": ("Annoy", "Flat", "Hnsw", "Ivf", "SearchParams"),
            "cohorts.encoders.base": ("Encoder",),
            "cohorts.encoders.specs": ("EncoderSpec",),
            "cohorts.errors": ("CohortsError",),
            "cohorts.records.base": ("Batch", "Source", "Unit"),
            "cohorts.search.found": ("Found",),
            "cohorts.store": ("CollectionHandle", "Store"),
        },
    )

"""One run of `cohorts ingest`: its folder, its manifest, its stages."""

import json
import platform
import resource
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cohorts.connectors import attachment as attachments
from cohorts.connectors.base import Connector
from cohorts.connectors.index import search_to_json, show_index
from cohorts.encoders.base import Encoder
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.loaders.guests import attachment_file, write_as_guest
from cohorts.loaders.ingest import Summary, load, metadata_of, read_only, train
from cohorts.loaders.run_dirs import ENCODERS
from cohorts.loaders.versions import Tick, Wanted
from cohorts.records.base import Source

_VERSIONS = (
    "cohorts",
    "numpy",
    "pandas",
    "gensim",
    "qdrant-edge-py",
    "milvus-lite",
    "pymilvus",
    "qdrant-client",
)


class Run:
    """Trains or loads the encoder, loads the collection, and keeps the encoder and the manifest in `folder`."""

    def __init__(self, folder: Path, store: str, collection: str, encoder: str) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "store": store,
            "collection": collection,
            "encoder": {"asked": encoder},
            "python": platform.python_version(),
            "versions": {name: _version(name) for name in _VERSIONS},
        }

    def read_only(self, source: Source, tick: Tick) -> None:
        """Read, check and count; write nothing but the quarantine."""
        began = time.perf_counter()
        self._account(source, read_only(source, tick), began)

    def ingest(
        self, source: Source, connector: Connector, wanted: Wanted, tick: Tick, *, replace: bool
    ) -> None:
        """Train or load the encoder, encode, write, index, and write the manifest. Raises CohortsError."""
        began, summary = time.perf_counter(), Summary()
        encoder = self._encoder(source, summary, tick)
        self.manifest["encoder"] |= {
            "name": encoder.name,
            "dim": encoder.dim,
            "fingerprint": encoder.fingerprint,
        }
        name = self.manifest["collection"]
        mapping = attachment_file(self.manifest["store"], name)
        written = None
        if mapping.exists():
            written = write_as_guest(connector, mapping, metadata_of(source, encoder), encoder.dim)
        made = load(
            source, encoder, connector, name, wanted=wanted, summary=summary, tick=tick, replace=replace
        )
        if written is not None:
            attachments.save(written, mapping)
        self.manifest["index"] = {
            "requested": show_index(wanted.index),
            "effective": show_index(made.index),
            "search": search_to_json(made.search),
            "translation": made.translation,
        }
        self._account(source, summary, began)
        text = json.dumps(self.manifest, indent=2, ensure_ascii=False)
        (self.folder / "manifest.json").write_text(text + "\n", encoding="utf-8")

    def _encoder(self, source: Source, summary: Summary, tick: Tick) -> Encoder:
        asked = self.manifest["encoder"]["asked"]
        if Path(asked).is_dir():
            return load_encoder(Path(asked))
        encoder = make_encoder(asked)
        train(source, encoder, summary, tick)
        encoder.save(self.folder / ENCODERS / encoder.fingerprint)
        return encoder

    def _account(self, source: Source, summary: Summary, began: float) -> None:
        report = source.report
        self.manifest |= {
            "source": {"name": source.name, "unit": str(source.unit), "fingerprint": source.fingerprint},
            "synthetic": source.synthetic,
            "counts": report.counts,
            "quarantined": report.quarantined,
            "left_out": report.left_out,
            "warnings": report.warnings,
            "units": summary.units,
            "written": summary.written,
            "not_encodable": summary.not_encodable,
            "vectors_per_s": round(summary.vectors_per_s),
            "seconds": {stage: round(spent, 2) for stage, spent in summary.seconds.items()},
            "total_s": round(time.perf_counter() - began, 2),
            "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:
        return None

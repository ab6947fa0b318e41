"""One run of loading: its folder, its lock, its journal, its manifest, its stages."""

import csv
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from cohorts.connectors.addresses import without_settings
from cohorts.connectors.attached import kept as attachments
from cohorts.connectors.base import Connector, Scalar
from cohorts.connectors.checks import check_new_name
from cohorts.connectors.index import search_to_json, show_index
from cohorts.connectors.spread import look
from cohorts.encoders.base import Encoder, check_ready
from cohorts.encoders.fingerprint import check_fingerprint, check_kind, check_window
from cohorts.encoders.needs import check_notes, frames_read
from cohorts.encoders.registry import as_encoder, load_encoder, make_encoder, suited_to, told_lacking
from cohorts.encoders.saving import is_trained
from cohorts.encoders.specs import EncoderSpec
from cohorts.encoders.views.mapped import maps_of
from cohorts.encoders.views.windowed import as_of
from cohorts.errors import InputError
from cohorts.loaders.attach import check_attached, write_attached
from cohorts.loaders.holding import Held, holding
from cohorts.loaders.journal.journal import Journal
from cohorts.loaders.kept_encoders import keep_encoder, told_where
from cohorts.loaders.kept_rows import Keeping, kept_after_load
from cohorts.loaders.load import Load, PointSource, Summary
from cohorts.loaders.points.patients import points_of_patients
from cohorts.loaders.points.payload import check_index_fields
from cohorts.loaders.points.ray import check_installed
from cohorts.loaders.points.ready import CollectionSource, FileOrigin
from cohorts.loaders.points.records import (
    EncodedRecords,
    EncodedRecordsOnRay,
    Ray,
    metadata_of,
    read_only,
    train,
)
from cohorts.loaders.stages import Times
from cohorts.loaders.targets import Destination, LoadRequest
from cohorts.loaders.versions import is_there
from cohorts.plain_text import csv_cell
from cohorts.private_files import open_private
from cohorts.progress import ProgressCallback
from cohorts.provenance import made_from, made_with, peak_rss_mib, write_manifest
from cohorts.records.base import FRAMES, Source
from cohorts.records.codes.concepts.coverage import Counting, mapped_rows
from cohorts.records.kept.reading import KEPT
from cohorts.records.transforms import reading
from cohorts.workspace import check_writable, default_run_dir, file_of_shard, kept_encoder, kept_mapping

_LOOKED_AT = 100  # units, whether a collection of others has them
_VERSIONS = (
    "numpy",
    "pandas",
    "gensim",
    "qdrant-edge-py",
    "milvus-lite",
    "pymilvus",
    "qdrant-client",
)


class Making(NamedTuple):
    """How units become vectors: the encoder, what it was made from, and who encodes on Ray.

    `asked` tells how it was asked for; `spec` is None for an encoder that was given as an object.
    """

    asked: str
    encoder: Encoder
    spec: EncoderSpec | None
    ray: Ray | None
    by_default: bool = False

    @property
    def trained(self) -> bool:
        """Return whether the encoder was given trained; one that is made from a spec is always trained here."""
        return self.spec is None and is_trained(self.encoder)

    def lacks(self, source: Source) -> str:
        """Return what the default encoder does without, and why; "" for nothing."""
        return told_lacking(self.spec, source) if self.by_default and self.spec else ""

    def suited_to(self, source: Source) -> "Making":
        """Return the same, but the default encoder less the part of which a source has nothing. Raises EncoderError."""
        if not self.by_default or self.spec is None:
            return self
        spec = suited_to(self.spec, source)
        return self._replace(asked=str(spec), spec=spec, encoder=make_encoder(spec))


class Run:
    """Loads a collection, and keeps journal, manifest, trained encoder and what was rejected in `folder`.

    Queries look for the encoder in `queried_from`, by default the folder of the collection's runs.
    Raises InputError for a name that neither a collection of ours nor an attached one can have.
    """

    def __init__(
        self, folder: Path, store: str, goal: LoadRequest, *, queried_from: Path | None = None
    ) -> None:
        self.folder, self.goal = folder, goal
        self._queried_from = queried_from or default_run_dir(store, goal.name)
        if kept_mapping(store, goal.name) is None:
            check_new_name(goal.name)
        self.manifest: dict[str, Any] = {
            **made_with(_VERSIONS),
            "store": store,
            "collection": goal.name,
            "shard": str(goal.shard or ""),
        }
        self._place = without_settings(store)
        self._began = time.perf_counter()
        self._summary = Summary()
        self._told: list[str] = []

    @property
    def times(self) -> Times:
        """Return the times of the stages, as they go."""
        return self._summary.times

    def read_only(self, source: Source, tick: ProgressCallback) -> None:
        """Read, check and count; write nothing but the quarantine."""
        check_index_fields(self.goal.index_fields or (), source)
        self._summary.units = read_only(source, self._summary, tick)
        self._account(source)

    def prepare(
        self,
        encoder: Encoder | EncoderSpec,
        ray: Ray | None = None,
        *,
        by_default: bool = False,
        asked: str = "",
    ) -> Making:
        """Return how vectors are to be made, after a look at all that can be refused before a source is read.

        `asked` tells where an encoder that is given as an object comes from.
        Raises InputError, EncoderError, CheckpointNotFound, MissingExtra.
        """
        spec = encoder if isinstance(encoder, EncoderSpec) else None
        made = as_encoder(encoder)
        if self.goal.shard and (spec is not None or not is_trained(made)):
            raise InputError(
                "Every shard needs the same encoder.",
                remedy="Train it once, and give the folder that it is kept in.",
                hint="fit_once",
            )
        check_writable(self.folder)
        if ray is not None:
            check_installed()
        check_ready(made)
        return Making(str(spec) if spec else asked or made.name, made, spec, ray, by_default)

    def ingest(
        self,
        source: Source,
        making: "Making",
        connector: Connector,
        tick: ProgressCallback,
        *,
        events: bool = True,
    ) -> None:
        """Train the encoder where it is not, encode, write, index, verify; keep `events`. Raises CohortsError."""
        making = making.suited_to(source)
        asked, ray = making.asked, making.ray
        with (
            self._holding(connector) as held,
            Keeping(self.folder, self.goal, wanted=events) as keeping,
        ):
            journal = held.journals[0]
            Destination(connector, self.goal, journal, held.lease).reserve()  # before hours of training
            self._check_fits(source, making, connector)
            indexed = self._indexed(source, connector)
            identity = {"source": f"{source.name} {source.fingerprint}", "unit": str(source.unit)}
            encoder = self._encoder(source, making, connector, journal, identity, tick)
            if encoder.needs_notes:  # one that was trained elsewhere
                check_notes(source, encoder.name)
            keep_encoder(encoder, self.folder, self._queried_from)
            self.manifest["encoder"] = {
                "asked": asked,
                "name": encoder.name,
                "dim": encoder.dim,
                "fingerprint": encoder.fingerprint,
                "modules": list(encoder.describe().get("modules", [])),
                "lacks": making.lacks(source) if encoder.name == making.encoder.name else "",
            }
            identity |= {"encoder asked": asked, "encoder": encoder.fingerprint}
            mapping, written, points = kept_mapping(self.manifest["store"], self.goal.name), None, None
            if mapping is not None:
                written = write_attached(connector, mapping, metadata_of(source, encoder), encoder.dim)
                points = points_of_patients(connector, written, source.unit)
            read: Source = keeping.source(source, points)
            met = Counting(read) if (maps := maps_of(encoder)) else None
            read = met or read
            origin = EncodedRecords(read, encoder, points, indexed)
            if ray is not None:
                kept = kept_encoder(self.folder, encoder.fingerprint)
                origin = EncodedRecordsOnRay(read, encoder, kept, self.folder, ray, points, indexed)
            with reading(
                source, FRAMES - {"notes"} | frames_read(encoder) if events else frames_read(encoder)
            ):
                self._load(origin, connector, held, identity, tick)
            if met and maps:
                self.manifest["concepts"] = mapped_rows(met.coverage(maps))
            self.manifest["cut"] = {what: count for what, count in encoder.counts.items() if count}
            if mapping is not None and written is not None:
                attachments.save(written, mapping)
            self.manifest[KEPT] = keeping.publish(journal.written, vanished=self._summary.stays)
            self._told += keeping.warnings
            self._account(source)
            self._save_manifest()  # before anybody else may write: it tells the checksums of what is kept

    def load(
        self, origin: FileOrigin | CollectionSource, connector: Connector, tick: ProgressCallback
    ) -> None:
        """Write what needs no encoder, index, verify. Raises CohortsError."""
        with self._holding(connector) as held:
            self._load(origin, connector, held, origin.identity, tick)
            self.manifest[KEPT] = kept_after_load(self.folder, self.goal)
            self._account(None)
            self._save_manifest()

    def _holding(self, connector: Connector) -> AbstractContextManager[Held]:
        return holding(connector, self._place, self.goal.name, self.folder, self.goal.shard)

    def _load(
        self,
        origin: PointSource,
        connector: Connector,
        held: Held,
        identity: Mapping[str, str],
        tick: ProgressCallback,
    ) -> None:
        goal, about, (journal, *_), lease = self.goal, self._whole(identity), held.journals, held.lease
        try:
            made = Load(origin, connector, goal, journal, lease, about, self._summary, tick).run()
        finally:
            if journal.run:  # else it was refused, and what the runs before left stays as it is
                self.manifest["run"] = journal.run
                self.manifest["rejected"] = self._tell_rejected(journal)
        if made.dim:  # else nothing was loaded
            self._told = [warning for warning in [look(connector, goal.name, made)] if warning]
        self.manifest["index"] = {
            "requested": show_index(goal.wanted.index),
            "effective": show_index(made.index),
            "search": search_to_json(made.search),
            "translation": made.translation,
        }

    def _whole(self, identity: Mapping[str, str]) -> dict[str, str]:
        mine = {"store": self._place, "collection": self.goal.name, "mode": self.goal.mode}
        return {**identity, **mine, "shard": str(self.goal.shard or "none")}

    def _check_fits(self, source: Source, making: "Making", connector: Connector) -> None:
        """Raise InputError where what is there can't take the encoder's vectors, as far as that can be told by now."""
        goal, encoder = self.goal, making.encoder
        mapping = kept_mapping(self.manifest["store"], goal.name)
        if mapping is not None:
            with reading(source, frozenset()):
                first = next(source.batches(), None)
            ids = [] if first is None else first.units["unit_id"].head(_LOOKED_AT).tolist()
            check_attached(connector, mapping, encoder.dim, source.unit, ids)
        elif is_there(connector, goal.name) and not (goal.replace or goal.update or goal.resume):
            there = connector.describe(goal.name).collection
            if making.trained:
                check_fingerprint(there.name, there.metadata, encoder)
            else:
                check_kind(there.name, there.dim, there.metadata, encoder)

    def _indexed(self, source: Source, connector: Connector) -> Callable[[str], bool]:
        """Return what tells whether a field gets an index. Raises InputError for one that is not there."""
        asked, name = self.goal.index_fields, self.goal.name
        if asked is not None:
            check_index_fields(asked, source)
            return lambda field: field in asked
        there = connector.describe(name).collection.unindexed if is_there(connector, name) else ()
        return lambda field: field not in there

    def _encoder(
        self,
        source: Source,
        making: "Making",
        connector: Connector,
        journal: Journal,
        identity: Mapping[str, str],
        tick: ProgressCallback,
    ) -> Encoder:
        """Return the encoder that was trained before, the one that the run or the collection has already, or train."""
        if making.trained:
            return making.encoder
        last = journal.last_run()
        if self.goal.resume and last is not None:
            kept = last.identity.get("encoder", "")
            last.check_same(self._whole({**identity, "encoder asked": making.asked, "encoder": kept}))
            return load_encoder(kept_encoder(self.folder, kept))
        if self.goal.update:
            own = load_encoder(kept_encoder(self.folder, self._made_by(connector)))
            if (
                making.spec and making.spec.window
            ):  # else it is the collection's, as is all that an encoder is
                check_window(self.goal.name, as_of(own), making.encoder)
            return own
        train(source, making.encoder, self._summary, tick)
        return making.encoder

    def _made_by(self, connector: Connector) -> Scalar:
        return connector.describe(self.goal.name).collection.metadata.get("encoder_fingerprint")

    def _tell_rejected(self, journal: Journal) -> int:
        """Write down what could not be written, for the user to mend, and return how many they are."""
        file, rejected = self.rejected_file, journal.rejections()
        file.unlink(missing_ok=True)
        if not rejected:
            return 0
        with open_private(file) as stream:
            csv.writer(stream).writerows(map(csv_cell, row) for row in [("id", "reason"), *rejected])
        return len(rejected)

    @property
    def rejected_file(self) -> Path:
        """Return the file of what could not be written."""
        return self.folder / file_of_shard("rejected.csv", self.goal.shard)

    def _account(self, source: Source | None) -> None:
        summary = self._summary
        if source is not None:
            report = source.report
            self.manifest |= {
                **made_from(source),
                "counts": report.counts,
                "quarantined": report.quarantined,
                "left_out": report.left_out,
                "rows": report.rows,
                "selected": report.selected,
                "bytes_read": dict(report.bytes_read),
            }
        self.manifest |= {
            "warnings": [*(source.report.warnings if source is not None else ()), *self._told],
            "units": summary.units,
            "unchanged": summary.unchanged,
            "written": summary.written,
            "not_encodable": summary.not_encodable,
            "removed": summary.removed,
            "vanished": summary.vanished,
            "vectors_per_s": round(summary.vectors_per_s),
            "seconds": {stage: round(spent, 2) for stage, spent in summary.seconds.items()},
            "waits": summary.times.waits(),
            "bottleneck": summary.times.bottleneck,
            "total_s": round(time.perf_counter() - self._began, 2),
            "peak_rss_mib": peak_rss_mib(),
        }

    def _save_manifest(self) -> None:
        write_manifest(self.folder / file_of_shard("manifest.json", self.goal.shard), self.manifest)


def train_only(source: Source, encoder: Encoder, folder: Path, tick: ProgressCallback) -> None:
    """Train an encoder on a source and keep it in `folder`."""
    train(source, encoder, Summary(), tick)
    with told_where(folder):
        encoder.save(folder)

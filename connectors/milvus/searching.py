"""Searches on Milvus: wider where a filter leaves few, and by a scan where the engine can't search exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cohorts.connectors.base import NOTHING, Hit, Vectors
from cohorts.connectors.checks import MAX_SCAN, check_scan, unit_rows
from cohorts.connectors.index import SearchParams
from cohorts.connectors.milvus.layout import Layout
from cohorts.connectors.milvus.translate import to_search
from cohorts.connectors.milvus.transport import Transport

WIDER = (8, 64)  # tried in turn with a filter, and where queries come back short
SCAN_ROWS = 5_000
Answer = tuple[list[list[Hit]], tuple[str, ...]]  # hits of every query, and notes
Asked = dict[int, tuple[list[Hit], int]]  # by query: the first k of what was found, and how many were


@dataclass(frozen=True, eq=False)
class Search:
    """What is asked of a collection: the k nearest of each query, (n, dim) float32, that match `expression`."""

    transport: Transport
    layout: Layout
    name: str
    queries: Vectors
    k: int
    expression: str
    with_payload: bool

    def nearest(self, how: SearchParams) -> Answer:
        """Search without a filter; an inverted file may leave some queries short: they are scanned."""
        settings = to_search(self.layout.collection.index, how, self.k)
        return self._completed(self._ask(range(len(self.queries)), self.k, settings), least=self.k)

    def filtered(self, how: SearchParams, max_k: int) -> Answer:
        """Search wider, then scan: the engine drops what the filter leaves out from the nearest that it visits.

        A narrow filter leaves too few of them, and the farthest of those left are doubtful. Twice k are asked for, so
        that the first k can be trusted.
        """
        best: Asked = {}
        short: Sequence[int] = range(len(self.queries))
        wanted = min(2 * self.k, max_k)
        notes: list[str] = []
        for wider in WIDER:
            settings = to_search(self.layout.collection.index, how, wanted, wider)
            best |= self._ask(short, wanted, settings)
            notes.append(f"{len(short)} of {len(self.queries)} filtered queries searched {wider} times wider")
            short = [row for row in short if best[row][1] < wanted]
            if not short:
                break
        hits, more = self._completed(best, least=wanted)
        return hits, (*notes, *more)

    def scanned(self) -> Answer:
        """Search exactly, where the engine can't, as far as so many points can be read; a note says so."""
        title, matching = self.transport.title, self._matching()
        check_scan(matching, title)
        note = f"{title} has no exact search beside an index: {matching:,} points were read and compared here"
        return self._scan(self.queries), (note,)

    def _ask(self, rows: Sequence[int], k: int, settings: dict[str, int]) -> Asked:
        layout, transport = self.layout, self.transport
        queries = self.queries if len(rows) == len(self.queries) else self.queries[rows]
        vectors = list(layout.unit(queries))
        # Where nothing is named, embedded Milvus sends every field, the vectors too.
        outputs = (list(layout.shown) if self.with_payload else []) or [layout.key]
        found = transport.call(
            lambda client: client.search(
                transport.target(self.name),
                data=vectors,
                anns_field=layout.vector,
                limit=k,
                filter=self.expression,
                output_fields=outputs,
                search_params={"params": settings},
                consistency_level=transport.consistency,
                timeout=transport.timeout_s,
            )
        )
        many = list(map(len, found))
        for one in found:
            del one[self.k :]  # before they are read: the client decodes the payloads of all that are left
        return dict(zip(rows, zip(layout.hits(found, self.with_payload), many, strict=True), strict=True))

    def _matching(self) -> int:
        return self.transport.count(self.name, self.expression, self.transport.consistency)

    def _completed(self, asked: Asked, *, least: int) -> Answer:
        """Scan for the queries that found fewer than `least` though more match."""
        hits = [asked[row][0] for row in range(len(self.queries))]
        short = [row for row, (_, many) in asked.items() if many < least]
        if not short:
            return hits, ()
        matching = self._matching()  # only now: the time of a count grows with what matches
        short = [row for row in short if asked[row][1] < matching]
        if not short:
            return hits, ()
        of = f"{len(short)} of {len(self.queries)} queries came back short"
        if matching > MAX_SCAN:
            return hits, (f"{of}; {matching:,} match, too many to scan",)
        for row, scanned in zip(short, self._scan(self.queries[short]), strict=True):
            hits[row] = scanned
        return hits, (f"{of} and were scanned exactly",)

    def _scan(self, queries: Vectors) -> list[list[Hit]]:
        """Compare with all points here."""
        layout = self.layout
        queries = unit_rows(queries, layout.collection.dim)
        best: list[list[Hit]] = [[] for _ in queries]
        pages = self.transport.pages(self.name, layout.key, self.expression, layout.outputs, SCAN_ROWS)
        for page in map(layout.points, pages):
            scores = queries @ page.vectors.T
            for row, hits in enumerate(best):
                order = np.argsort(-scores[row], kind="stable")[: self.k]
                hits += [
                    Hit(
                        page.ids[i], float(scores[row, i]), page.payloads[i] if self.with_payload else NOTHING
                    )
                    for i in order
                ]
                hits.sort(key=lambda hit: -hit.score)
                del hits[self.k :]
        return best

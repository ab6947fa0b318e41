"""Commands that measure a collection in service: `audit`, `tune`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cohorts.commands.options import (
    Name,
    Queries,
    QueriesFile,
    Rate,
    SearchText,
    Store,
    query_option,
    run_option,
)
from cohorts.commands.output import log
from cohorts.commands.typer_app import Commands
from cohorts.errors import InputError

if TYPE_CHECKING:
    from cohorts.connectors.base import Vectors
    from cohorts.harness.live.queries import Sample
    from cohorts.harness.live.reader import Reader

app = Commands("Measure")


@app.command()
def audit(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    where: Annotated[
        list[str] | None, query_option(help="Measure among these too: age >= 60. Repeatable.")
    ] = None,
    k: Annotated[int, query_option("-k", min=1, help="How many neighbours.")] = 10,
    queries: Queries = 200,
    rate: Rate = 20.0,
    search: SearchText = None,
    out: Annotated[Path | None, run_option(help="Folder for audit.csv and manifest.json.")] = None,
    seed: Annotated[int, run_option(min=0, help="Same seed, same queries.")] = 0,
    queries_file: QueriesFile = None,
) -> None:
    """Measure the recall of a collection in service against exact search, by filter; nothing is written to it.

    It is asked with points of its own, and with new ones near them: less like what it knows, as patients to come are.
    """
    from cohorts.commands.output.recall import show_audit
    from cohorts.connectors.addresses import without_settings
    from cohorts.connectors.index import parse_search
    from cohorts.harness.live import audit as audits
    from cohorts.harness.live.reader import Pace, Reader
    from cohorts.search.store import open_store
    from cohorts.workspace import check_writable

    params = parse_search(search) if search else None
    if out is not None:
        check_writable(out)
    with open_store(store, collection) as connector:
        reader = Reader(connector, collection, Pace(rate))
        found = audits.audit(
            reader,
            k=k,
            queries=queries,
            wheres=where or [],
            search=params,
            seed=seed,
            asked=_queries_of(queries_file, reader, store, collection, queries, seed),
        )
    show_audit(found, collection)
    if out is not None:
        audits.write_audit(
            out, found, {"store": without_settings(store), "collection": collection, "rate": rate}
        )
        log.say("note", f"Written: {out}/audit.csv, {out}/manifest.json.")


@app.command()
def tune(
    target_recall: Annotated[float, query_option(help="Recall to reach with confidence, as in .95.")],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    where: Annotated[str | None, query_option(help="Tune for searches among these: age >= 60.")] = None,
    k: Annotated[int, query_option("-k", min=1, help="How many neighbours.")] = 10,
    queries: Queries = 200,
    rate: Rate = 20.0,
    rebuild: Annotated[
        bool,
        run_option("--rebuild", help="Try indexes too, on a sample in a collection that is dropped again."),
    ] = False,
    write: Annotated[
        bool, run_option("--write", help="Make the choice the collection's default search parameters.")
    ] = False,
    seed: Annotated[int, run_option(min=0, help="Same seed, same queries.")] = 0,
    queries_file: QueriesFile = None,
) -> None:
    """Find the cheapest search parameters (with --rebuild, index) whose recall reaches a target with confidence.

    For new vectors near the collection's points, or for those of --queries-file: the result holds for such queries.
    """
    from cohorts.commands.output.recall import advice, show_built, show_steps
    from cohorts.harness.live import tune as tuning
    from cohorts.harness.live.reader import Pace, Reader
    from cohorts.search.store import open_store

    if write and where is not None:
        raise InputError(
            "--write sets the default of every search, --where tunes for some: leave one of them out."
        )
    if rebuild and where is not None:
        raise InputError("--rebuild tries indexes without a filter: leave --where out.")
    with open_store(store, collection) as connector:
        reader = Reader(connector, collection, Pace(rate))
        asked = _queries_of(queries_file, reader, store, collection, queries, seed)
        if write or not rebuild or not reader.description.exact:
            tuned = tuning.tune(
                reader, target_recall, k=k, queries=queries, where=where, seed=seed, asked=asked
            )
            show_steps(tuned)
            log.say("note", tuned.line)
            if write:
                tuning.write_default(connector, collection, tuned)
                log.say("note", f"Kept as the default of {collection}.")
        if rebuild:
            built = tuning.rebuild(connector, reader, target_recall, k=k, seed=seed, asked=asked)
            show_built(built)
            for line in advice(store, collection, built).splitlines():
                log.say("note", line)


def _queries_of(
    file: Path | None, reader: "Reader", store: str, name: str, queries: int, seed: int
) -> "Sample | None":
    """Read the queries of a file; texts are encoded by the collection's own encoder."""
    from cohorts.harness.live.queries import read_queries
    from cohorts.search.store import own_encoder
    from cohorts.workspace import encoder_dir

    if file is None:
        return None
    collection = reader.description.collection

    def encode(texts: Sequence[str]) -> "Vectors":
        kept = encoder_dir(store, name, collection)
        return own_encoder(collection, kept).encode_text(list(texts))

    return read_queries(file, collection.dim, queries, seed, encode)

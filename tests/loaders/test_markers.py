"""No text of a patient and no key in what is told or kept: markers are planted, and every error path is driven."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.registry import connect
from cohorts.loaders.journal.journal import Journal
from command_line import Forked

NOTE, NAME, KEY = "zebra-rash-7715", "Quillfeather Ottoline", "k3y-of-the-hospital-9921"
MARKERS = [marker.encode() for marker in (NOTE, NAME, KEY)]
GONE = "qdrant+http://127.0.0.1:9?check_compatibility=false"
# The command with something broken in it, as a bug or a disk would: what is raised quotes the note.
BROKEN_ENCODER = """
from cohorts.encoders import word2vec
def encode(self, batch):
    raise {error}(batch.notes["text"].iloc[0])
word2vec.Word2Vec.encode = encode
"""

SHARED = "import gensim, milvus_lite, pandas, pyarrow, pymilvus, qdrant_client, qdrant_edge"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a source of notes with markers, and vectors beside it."""
    here = tmp_path_factory.mktemp("markers")
    words = ["fever", "cough", "chest", "pain", "dyspnea", "oedema", "nausea", "rash", "headache", "fatigue"]
    rng = np.random.default_rng(0)
    rows = [f'{i},"{NAME} has {NOTE} and {" ".join(rng.choice(words, 30))}"' for i in range(300)]
    (here / "notes.csv").write_text("id,text\n" + "\n".join(rows) + "\n")
    (here / "mangled.csv").write_text(
        "id,text\n" + "\n".join(rows[:50]) + f'\n51,"{NAME} {NOTE}\n52,"{NAME}" {NOTE}",x\n'
    )
    bad = [f',"{NAME} {NOTE}"' for _ in range(40)]
    (here / "bad.csv").write_text("id,text\n" + "\n".join(rows[:10] + bad) + "\n")
    (here / "latin.csv").write_bytes(
        ("id,text\n" + "\n".join(rows)).encode() + f'\n400,"{NAME} {NOTE} \xe9"\n'.encode("latin-1")
    )
    (here / "key").write_text(KEY)
    vectors = rng.normal(size=(50, 4)).astype(np.float32)
    vectors[3] = np.nan
    table = pa.table(
        {"id": [str(i) for i in range(50)], "vector": list(vectors), "note": [f"{NAME} {NOTE} " * 3_000] * 50}
    )
    pq.write_table(table, here / "large.parquet")
    pq.write_table(table.append_column("bad", pa.array([{"a": NOTE}] * 50)), here / "nested.parquet")
    (here / "torn.parquet").write_bytes((here / "large.parquet").read_bytes()[:-50])
    (here / "not.npy").write_text(f"{NAME} {NOTE}")
    return here


class Commands:
    """Runs each command in a process of its own, as a user does, and looks for the markers in all that it tells."""

    def __init__(self, processes: Forked) -> None:
        self._processes = processes

    def run(self, command: str, *, before: str = "", code: int | tuple[int, ...]) -> None:
        ended, out, err = self._processes.run(command, before)
        codes = code if isinstance(code, tuple) else (code,)
        assert ended in codes, (command, ended, err.decode())
        for marker in MARKERS:
            assert marker not in out, command
            assert marker not in err, (command, err.decode())
        if code != 0:
            assert err, command


@pytest.fixture
def commands(folder: Path) -> Iterator[Commands]:
    keys = {"COHORTS_QDRANT_API_KEY": KEY, "COHORTS_MILVUS_TOKEN": f"root:{KEY}"}
    with Forked(folder, SHARED, keys) as processes:
        yield Commands(processes)


def test_no_marker_is_told_or_kept(folder: Path, commands: Commands) -> None:
    run = commands.run
    ingest = (
        "ingest --source notes-csv --path {} --columns id=id,text=text --encoder word2vec:dim=8,min_count=1"
    )
    good = ingest.format("notes.csv")
    for form in ("text", "json"):
        log = f"--log-format {form}"
        run(f"{good} --collection {form} {log}", code=0)
        run(f"{good} --collection {form} --update {log}", code=0)
        run(f"{good} --collection {form} --resume {log}", code=2)
        run(f"{ingest.format('bad.csv')} --collection {form} {log}", code=2)
        run(f"{ingest.format('bad.csv')} --collection b{form} --max-bad-share 1 {log}", code=(0, 2))
        run(
            f"{ingest.format('mangled.csv')} --collection m{form} --max-bad-share 1 {log}",
            code=(0, 2),
        )
        run(f"{ingest.format('latin.csv')} --collection l{form} {log}", code=0)
        run(f"{good.replace('text=text', 'text=nothing')} {log}", code=2)
        run(f"{good} --store {GONE} {log}", code=1)
        run(f"{good} --store milvus+http://127.0.0.1:9 {log}", code=1)
        run(f"{good} --collection other --encoder nowhere {log}", code=2)
        for error in ("ValueError", "KeyError", "UnicodeError"):
            before = BROKEN_ENCODER.format(error=error)
            run(f"{good} --collection broken {log}", before=before, code=1)
        for file in ("large.parquet", "nested.parquet", "torn.parquet", "not.npy"):
            store = "milvus:./s.db" if file == "large.parquet" else "qdrant:./v"
            run(f"load --vectors {file} --collection v{form} --store {store} {log}", code=(2, 3))
        run(f"verify --collection {form} --full {log}", code=0)
    run("load --vectors large.parquet --store qdrant:./fits --made-by x --collection c", code=3)
    run("export --store qdrant:./fits --collection c --out out.parquet", code=0)
    run("copy --from qdrant:./fits --to milvus:./t.db --collection c", code=3)
    with connect(f"qdrant:{folder}/cohorts.qdrant") as engine:
        engine.delete("text", ["7"])
    run("verify --collection text", code=1)
    kept = [file for runs in folder.glob("*.runs") for file in runs.rglob("*") if file.is_file()]
    kinds = {file.name for file in kept}
    assert {"journal.sqlite", "manifest.json", "rejected.csv", "quarantine.csv", "outcomes.parquet"} <= kinds
    for kept_file in kept:
        if kept_file.name in ("encoder.json", "model.safetensors"):
            continue  # a vocabulary of words seen often is what an encoder is
        content = kept_file.read_bytes()
        if kept_file.suffix == ".parquet":  # whose pages are compressed
            content += str(pq.read_table(kept_file).to_pydict()).encode()
        for marker in MARKERS:
            assert marker not in content, kept_file


def test_the_journal_of_a_run_holds_ids_and_hashes_alone(folder: Path) -> None:
    (journal,) = (folder / "cohorts.qdrant.runs" / "text").glob("journal.sqlite")
    with Journal(journal) as one:
        assert one.count() == 300

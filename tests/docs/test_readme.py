"""Every command of the README and of the guide runs as it stands there, block by block."""

import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command_line import ok
from engine_contract import cloud
from qdrant_client import models
from servers import Milvus, QdrantNode

ROOT = Path(__file__).resolve().parents[2]
# The same commands, on fewer invented patients and with less training.
QUICK = "fineehr:{}dim=24,epochs=2,steps=200,patience=3"
QUICKER = {
    "synth hospital --patients 1000": "synth hospital --patients 500",
    "--encoder fineehr:full": f"--encoder {QUICK.format('full,')}",
    "evaluate fineehr": f"evaluate fineehr --encoder {QUICK.format('')}",
}
# What a block takes from the first one before it that makes it.
MADE_BY = {
    "--path hospital": "synth hospital",
    "--collection icu": "--collection icu",
    "--collection chosen": "--collection chosen",
}


DOCUMENTS = ("README.md", "docs/guide.md")


class Block(NamedTuple):
    """A block of commands, the document it stands in, its heading, and its place below that."""

    document: str
    heading: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.document} {self.heading} {self.number}"


def blocks() -> list[Block]:
    """Return the blocks of commands of all documents."""
    found = []
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        heading, number = "", 0
        for head, block in re.findall(r"^## ([^\n]*)$|^```console\n(.*?)```", text, re.MULTILINE | re.DOTALL):
            heading, number = (head, 0) if head else (heading, number + 1)
            if block:
                found.append(Block(document, heading, number, block))
    return found


BLOCKS = blocks()
SERVED = [at for at, block in enumerate(BLOCKS) if "://127.0.0.1" in block.text]
ALONE = [at for at, block in enumerate(BLOCKS) if at not in SERVED and "$ make" not in block.text]


def run_block(at: int, **meant: str) -> None:
    for line in BLOCKS[at].text.splitlines():
        command = line.removeprefix("$ cohorts ")
        assert command != line, line
        for shown, instead in (QUICKER | meant).items():
            command = command.replace(shown, instead)
        ok(command)


class Run:
    """The blocks of a document that ran in a folder, each once, those it takes something from before it."""

    def __init__(self, folder: Path, document: str) -> None:
        self.folder, self._document = folder, document
        self._ran: set[int] = set()

    def _is_here(self, at: int) -> bool:
        return BLOCKS[at].document == self._document

    def block(self, at: int) -> None:
        if at in self._ran:
            return
        for taken, maker in MADE_BY.items():
            first = next((one for one in ALONE if self._is_here(one) and maker in BLOCKS[one].text), at)
            if taken in BLOCKS[at].text and first < at:
                self.block(first)
        self._ran.add(at)
        run_block(at)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> dict[str, Run]:
    return {one: Run(furnished(tmp_path_factory.mktemp("read"), shared_data), one) for one in DOCUMENTS}


def furnished(folder: Path, shared_data: Path) -> Path:
    """Lay what the README calls mimic3-demo and notes.csv into a folder."""
    (folder / "mimic3-demo").symlink_to(shared_data / "mimic3-demo")
    shutil.copyfile(shared_data / "aci-bench" / "train.csv", folder / "notes.csv")
    return folder


def test_every_block_is_run() -> None:
    (made,) = [block.text for at, block in enumerate(BLOCKS) if at not in (*ALONE, *SERVED)]
    assert made == "$ make demo\n$ make test\n"  # which runs this very test
    assert len(SERVED) == 4
    assert len(ALONE) >= 12


@pytest.mark.parametrize("at", ALONE, ids=[str(BLOCKS[at]) for at in ALONE])
def test_a_block_runs(at: int, ran: dict[str, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = ran[BLOCKS[at].document]
    monkeypatch.chdir(run.folder)
    run.block(at)


@pytest.mark.parametrize("at", SERVED, ids=[str(BLOCKS[at]) for at in SERVED])
def test_a_block_runs_on_servers(
    at: int,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qdrant: QdrantNode,
    milvus: Milvus,
) -> None:
    monkeypatch.chdir(furnished(tmp_path, shared_data))
    make_their_collection(qdrant)
    meant = {
        "qdrant+http://127.0.0.1:6333": f"qdrant+http://127.0.0.1:{qdrant.http}?check_compatibility=false",
        "qdrant+grpc://127.0.0.1:6334": f"qdrant+grpc://127.0.0.1:{qdrant.grpc}?check_compatibility=false",
        "milvus+http://127.0.0.1:19530": f"milvus+http://127.0.0.1:{milvus.port}",
    }
    run_block(at, **meant)


def make_their_collection(qdrant: QdrantNode) -> None:
    """Make the collection of others that the README attaches to."""
    client = qdrant.client()
    client.create_collection("visits_of_others", models.VectorParams(size=8, distance=models.Distance.COSINE))
    client.create_payload_index("visits_of_others", "metadata.subject_id", models.PayloadSchemaType.INTEGER)
    points = [
        models.PointStruct(
            id=i,
            vector=cloud(1, 8, seed=i)[0].tolist(),
            payload={"page_content": "a note", "metadata": {"subject_id": 10_000 + i // 2, "age": i}},
        )
        for i in range(60)
    ]
    client.upsert("visits_of_others", points, wait=True)
    client.close()


@pytest.mark.parametrize("file", ["README.md", "docs/index.md"])
def test_the_lines_of_python_run(
    file: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(furnished(tmp_path, shared_data))
    (code,) = re.findall(r"^```python\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    assert len(names["found"]) == 20
    names["store"].close()

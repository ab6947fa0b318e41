"""Every command of the README runs as it stands there, block by block."""

import re
import shutil
from pathlib import Path

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
MADE_BY = {"--path hospital": "synth hospital", "--collection icu": "--collection icu"}


def blocks() -> list[tuple[str, str]]:
    """Return the README's blocks of commands, each with its heading."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^## ([^\n]*)$|^```console\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    heads = [head for head, _ in found]
    return [
        (next(head for head in reversed(heads[:at]) if head), block)
        for at, (head, block) in enumerate(found)
        if not head
    ]


BLOCKS = blocks()
NAMES = [
    f"{head} {sum(head == other for other, _ in BLOCKS[:at]) + 1}" for at, (head, _) in enumerate(BLOCKS)
]
SERVED = [at for at, (_, block) in enumerate(BLOCKS) if "://127.0.0.1" in block]
ALONE = [at for at, (_, block) in enumerate(BLOCKS) if at not in SERVED and "$ make" not in block]


def run_block(at: int, **meant: str) -> None:
    for line in BLOCKS[at][1].splitlines():
        command = line.removeprefix("$ cohorts ")
        assert command != line, line
        for shown, instead in (QUICKER | meant).items():
            command = command.replace(shown, instead)
        ok(command)


class Run:
    """The blocks that ran in a folder, each once, those it takes something from before it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ran: set[int] = set()

    def block(self, at: int) -> None:
        if at in self._ran:
            return
        for taken, maker in MADE_BY.items():
            first = next((one for one in ALONE if maker in BLOCKS[one][1]), at)
            if taken in BLOCKS[at][1] and first < at:
                self.block(first)
        self._ran.add(at)
        run_block(at)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Run:
    return Run(furnished(tmp_path_factory.mktemp("readme"), shared_data))


def furnished(folder: Path, shared_data: Path) -> Path:
    """Lay what the README calls mimic3-demo and notes.csv into a folder."""
    (folder / "mimic3-demo").symlink_to(shared_data / "mimic3-demo")
    shutil.copyfile(shared_data / "aci-bench" / "train.csv", folder / "notes.csv")
    return folder


def test_every_block_is_run() -> None:
    (made,) = [block for at, (_, block) in enumerate(BLOCKS) if at not in (*ALONE, *SERVED)]
    assert made == "$ make demo\n$ make test\n"  # which runs this very test
    assert len(SERVED) == 2
    assert len(ALONE) >= 9


@pytest.mark.parametrize("at", ALONE, ids=[NAMES[at] for at in ALONE])
def test_a_block_runs(at: int, ran: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ran.folder)
    ran.block(at)


@pytest.mark.parametrize("at", SERVED, ids=[NAMES[at] for at in SERVED])
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

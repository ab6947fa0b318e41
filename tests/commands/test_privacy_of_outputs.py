"""Whatever the umask, what a command leaves behind is its user's alone; and nothing in the package writes otherwise."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from cohorts.connectors.attached.attachment import Attachment
from cohorts.connectors.attached.kept import save
from cohorts.connectors.base import Collection
from cohorts.encoders.bert.note_cache import FOLDER, NoteCache
from cohorts.reports.page import keep
from command_line import ok
from test_layout import MAY_IMPORT, ROOT, modules

WRITES = {
    *("write_text", "write_bytes", "mkdir", "makedirs", "touch", "copytree"),
    *("mkdtemp", "mkstemp", "TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile", "gettempdir"),
}
BY_OTHERS = {
    "loaders/kept_encoders.py: copytree",  # closed by make_private afterwards
}
# Several commands in one process, as a shell with umask 022 runs them.
SESSION = """
import os, shlex, sys
from cohorts.cli import main
for line in sys.stdin:
    os.umask(0o022)
    sys.argv = ["cohorts", *shlex.split(line)]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, (line, end.code)
"""
SOURCE = "--source mimic3 --path hospital"
COMMANDS = [
    "synth hospital --patients 60 --seed 3",
    f"fit {SOURCE} --encoder word2vec:dim=8,epochs=1 --out encoder",
    f"ingest {SOURCE} --encoder encoder --store qdrant:stores/edge --collection c",
    f"ingest {SOURCE} --encoder word2vec:dim=8,epochs=1 --store milvus:stores/lite.db --collection c",
    "export --store qdrant:stores/edge --collection c --out c.parquet",
    "load --vectors c.parquet --store qdrant:loaded --collection c",
    "copy --from milvus:stores/lite.db --to qdrant:copied --collection c",
    "reindex --store qdrant:copied --collection c --index flat",
    "audit --store qdrant:loaded --collection c --queries 5 --rate 1000 --out audited",
]


@pytest.fixture
def generous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, where everybody may read what is made without a thought."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    paths = [path for path in folder.rglob("*") if path.stat().st_mode & 0o077]
    return [f"{path.relative_to(folder)} {path.stat().st_mode & 0o777:o}" for path in paths]


def test_commands_leave_nothing_that_others_may_read(generous: Path) -> None:
    (generous / "tmp").mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        input="\n".join(COMMANDS),
        env={**os.environ, "TMPDIR": str(generous / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert open_to_others(generous) == []
    assert {folder.name for folder in (generous / "tmp").iterdir()} <= {f"cohorts-locks-{os.getuid()}"}
    assert {"c.parquet", "encoder", "stores", "loaded.runs", "audited"} <= {
        path.name for path in generous.iterdir()
    }


def test_as_a_library_all_but_the_engines_own_files_is_private(generous: Path) -> None:
    ok(COMMANDS[0])
    with Path("hospital/PATIENTS.csv").open("a") as stream:
        stream.write("no,row\n")
    learnt = f"ingest {SOURCE} --encoder word2vec:dim=8,epochs=1 --max-bad-share 1 --collection c"
    ok(f"{learnt} --store qdrant:stores/edge")
    ok(f"{learnt} --store milvus:stores/lite.db --run-dir run")
    ok("audit --store qdrant:stores/edge --collection c --queries 5 --rate 1000 --out audited")
    ok("export --store qdrant:stores/edge --collection c --out c.parquet")
    NoteCache("0")
    keep(Path("report"), "page", {}, [("table", pd.DataFrame({"a": [1]}))])
    save(Attachment(Collection("c", 2), ""), Path("attached/attachment.json"))
    assert Path("run/quarantine.csv").exists()
    engines = ("stores/edge/", "stores/lite.db/")
    assert [line for line in open_to_others(generous) if not line.startswith(engines)] == []
    assert Path("stores/edge/collections.json").stat().st_mode & 0o777 == 0o600


def writes(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in WRITES:  # called here, or handed on to be called
            yield f"{file.relative_to(ROOT)}: {node.attr}"
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
        opened = name in ("open", "fdopen") and any(
            isinstance(mode, str) and len(mode) <= 3 and set(mode) & set("wax+") for mode in given
        )
        if name in WRITES or opened:
            yield f"{file.relative_to(ROOT)}: {name}"


def test_the_package_writes_by_private_files_alone() -> None:
    assert "private_files" in MAY_IMPORT
    found = {one for file in modules() if file.name != "private_files.py" for one in writes(file)}
    assert found == BY_OTHERS

"""The names that `cohorts`, `cohorts.analysis` and `cohorts.connectors` offer, lazily and typed."""

import ast
import importlib
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    package: names.split()
    for package, names in {
        "cohorts": """
            Annoy Batch Cohort CohortsError CollectionHandle Encoder EncoderSpec Flat Found Hit Hnsw Ivf
            SearchParams Source Store Unit concept_coverage connect ingest load_encoder make_encoder
            open_source synthesize
        """,
        "cohorts.analysis": "Words word_shares",
        "cohorts.connectors": """
            Abilities Annoy Collection Connector Description FieldType Filter Flat Found Hit Hnsw
            Index Ivf Payload Points SearchParams connect parse_filter
        """,
    }.items()
}
ALIASES = {"FieldType", "Payload", "Words"}  # of types, which have no docstring at run time


@pytest.mark.parametrize("package", NAMES)
def test_the_names_are_these_and_each_says_what_it_is(package: str) -> None:
    module = importlib.import_module(package)
    assert list(module.__all__) == NAMES[package]
    assert set(NAMES[package]) <= set(dir(module))
    for name in NAMES[package]:
        assert name in ALIASES or inspect.getdoc(getattr(module, name)), name
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'ingset'"):
        module.ingset  # noqa: B018


@pytest.mark.parametrize("package", NAMES)
def test_what_type_checkers_see_is_what_is_there(package: str) -> None:
    file = ROOT.joinpath(*package.split(".")[1:], "__init__.py")
    seen = {
        alias.name: node.module
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module not in ("typing", "cohorts.lazy")
        for alias in node.names
    }
    assert sorted(seen) == NAMES[package]
    for name, module in seen.items():
        there = getattr(importlib.import_module(str(module)), name)
        assert getattr(importlib.import_module(package), name) is there


def test_importing_cohorts_loads_nothing_of_others() -> None:
    code = "import sys; before = set(sys.modules); import cohorts; dir(cohorts); print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    others = {one for one in done.stdout.split() if one.partition(".")[0] not in sys.stdlib_module_names}
    assert others == {"cohorts", "cohorts.lazy"}


USE = """
import cohorts
from typing import assert_type
source  = cohorts.open_source("mimic3", "mimic3-demo", unit="patient")
encoder = cohorts.make_encoder("codes", dim=64)                  # or any object with fit/encode/save
store   = cohorts.connect("qdrant:./cohorts.qdrant")             # or a ready QdrantClient / MilvusClient
icu     = cohorts.ingest(source, encoder, store, "icu", index=cohorts.Hnsw(m=32))
icu     = store.collection("icu")                                # later: its encoder is found and checked
found   = icu.like_patient("10006", k=20, where="age >= 60")     # or like_text("…") on notes, like_vector(v)
found.to_pandas()                                                # and a table in a notebook (_repr_html_)

assert_type(icu, cohorts.CollectionHandle)
assert_type(found, cohorts.Found)
assert_type(found[0].score, float)
def ask(store: cohorts.Store, encoder: cohorts.Encoder, unit: cohorts.Unit) -> list[str]:
    import numpy as np
    handle = cohorts.ingest(source, encoder, store, "icu", index="flat", replace=True)
    return [hit.id for hit in handle.like_vector(np.zeros(64))] + [hit.id for hit in handle.like_patient(10006)]
"""
MISUSED = """
import cohorts
cohorts.ingset
cohorts.open_source(3, "mimic3-demo")
cohorts.connect("memory:").collection("icu").like_patient("1", k="many")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package is installed, as a user has it."""
    copy, site = tmp_path_factory.mktemp("copy") / "cohorts", tmp_path_factory.mktemp("site")
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".*", "tests", "build", "*.egg-info", "__pycache__", "demo")
    )
    build = ["-m", "build", "--wheel", "--outdir", str(copy / "dist"), str(copy)]
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    (wheel,) = (copy / "dist").glob("*.whl")
    shutil.unpack_archive(wheel, site, "zip")
    return site


def check(folder: Path, site: Path, text: str) -> tuple[int, str]:
    (folder / "use.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), "use.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_users_mypy_accepts_the_example_and_sees_mistakes(site: Path, tmp_path: Path) -> None:
    assert check(tmp_path, site, USE) == (0, "Success: no issues found in 1 source file\n")
    code, told = check(tmp_path, site, MISUSED)
    assert code == 1
    lines = [line.partition(": error: ")[2] for line in told.splitlines() if ": error: " in line]
    assert len(lines) == 3
    assert 'Module has no attribute "ingset"' in lines[0]
    assert 'Argument 1 to "open_source"' in lines[1]
    assert 'Argument "k" to "like_patient"' in lines[2]

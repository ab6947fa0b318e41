"""The import table of the design, the wheel's file list, and what `cohorts --help` loads."""

import ast
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Container
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES, MOST_MODULES = 500, 18
EVERYWHERE = {"errors", "private_files", "documents", "plain_text", "progress", "extras", "lazy", "plugins"}
ROOMS = {
    "records",
    "measures",
    "encoders",
    "connectors",
    "loaders",
    "search",
    "reports",
    "analysis",
    "harness",
    "commands",
}
READ = {
    "records",
    "encoders",
    "connectors",
    "measures",
    "workspace",
    "provenance",
    "saved_cohorts",
    "told_groups",
    *EVERYWHERE,
}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "private_files": set(),
    "plain_text": set(),
    "progress": set(),
    "lazy": set(),
    "documents": {"errors"},
    "extras": {"errors"},
    "plugins": {"errors"},
    "measures": {"errors"},
    "records": EVERYWHERE,
    "connectors": {"measures", *EVERYWHERE},
    "workspace": {"records", "connectors", *EVERYWHERE},
    "provenance": {"records", *EVERYWHERE},
    "saved_cohorts": {"connectors", *EVERYWHERE},
    "told_groups": EVERYWHERE,
    "encoders": {"records", "provenance", "measures", *EVERYWHERE},
    "loaders": READ,
    "search": READ,
    "reports": {"provenance", *EVERYWHERE},
    "analysis": {"search", "reports", *READ},
    "harness": {"search", "loaders", "analysis", "reports", *READ},
    "given": {"connectors", *EVERYWHERE},
    "store": {"given", "search", "analysis", *READ},
    "api": {"given", "store", "loaders", "search", "analysis", *READ},
    "commands": {"given", *ROOMS, *READ},
    "cli": {*ROOMS, *READ},
    "__init__": {"api", "store", "search", "analysis", *READ},
}


def modules() -> list[Path]:
    single = [ROOT / f"{part}.py" for part in MAY_IMPORT]
    folders = [file for part in MAY_IMPORT for file in sorted((ROOT / part).rglob("*.py"))]
    return [file for file in single if file.exists()] + folders


def imported_parts(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "cohorts":
            names |= {f"cohorts.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("cohorts.")}


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_data_flows_one_way(file: Path) -> None:
    part = file.relative_to(ROOT).parts[0].removesuffix(".py")
    assert imported_parts(file) <= MAY_IMPORT[part] | {part}


def module_name(file: Path) -> str:
    parts = ("cohorts", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path, names: Container[str]) -> set[str]:
    """Return the modules of ours that a module imports, at once or within a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in names else node.module for name in within}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in names}


def test_no_imports_run_in_a_circle() -> None:
    files = {module_name(file): file for file in modules()}
    graph = {name: imports_of(file, files) - {name, "cohorts"} for name, file in files.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


def test_no_file_and_no_folder_is_too_large() -> None:
    files = [*modules(), *sorted((ROOT / "tests").rglob("*.py"))]
    long = {str(file.relative_to(ROOT)): lines for file in files if (lines := lines_of(file)) > MOST_LINES}
    assert long == {}
    folders = Counter(file.parent for file in files)
    assert {str(folder): many for folder, many in folders.items() if many > MOST_MODULES} == {}


def lines_of(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def test_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    copy = tmp_path / "copy"  # setuptools would take what an earlier build left behind
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "demo")
    )
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(copy)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {f"cohorts/{file.relative_to(ROOT)}" for file in modules()} | {"cohorts/py.typed"}
    tables = [*(ROOT / "records").rglob("*.toml"), *(ROOT / "harness").rglob("*.toml")]
    tables += [*(ROOT / "reports").rglob("*.toml"), *(ROOT / "reports").rglob("*.html")]
    tables += [*(ROOT / "records").rglob("*.csv"), *(ROOT / "records").rglob("*.csv.xz")]
    tables += (ROOT / "records").rglob("*.txt")
    expected |= {f"cohorts/{file.relative_to(ROOT)}" for file in tables}
    assert held == expected


def test_help_loads_nothing_heavy() -> None:
    heavy = {
        "torch",
        "pandas",
        "numpy",
        "pymilvus",
        "qdrant_client",
        "qdrant_edge",
        "gensim",
        "transformers",
        "sqlglot",
    }
    code = (
        "import sys; from typer.testing import CliRunner; from cohorts.cli import app;"
        "r = CliRunner().invoke(app, ['--help']); assert r.exit_code == 0, r.output;"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert heavy & set(done.stdout.split()) == set()

"""Collections that langchain, haystack and llama-index made themselves, as their users do, are attached and queried."""

import json
import subprocess
from pathlib import Path

import pytest
from command_line import ok
from servers import Milvus, QdrantNode

HERE = Path(__file__).resolve().parents[2]
PYTHON = HERE.parent / ".guests" / "bin" / "python"


def fill(library: str, url: str) -> None:
    """Let a library fill collection `theirs` on a server."""
    if not PYTHON.with_name("pip").exists():
        pytest.skip("the other libraries are not installed: run tests/install_guests.sh")
    made = subprocess.run(
        [PYTHON, "-W", "ignore", HERE / "guests" / "make_collection.py", library, url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-3000:]


def check_patients(there: str, *options: str) -> None:
    """Attach by the patient's id in the notes' metadata, and look for the patients like one of them."""
    shown = " ".join(ok(f"attach {there} --patient-field subject_id {' '.join(options)}").split())
    assert "vectors 24 " in shown
    found = json.loads(ok(f"query {there} --patient P3 -k 11 --format json"))
    assert sorted(row["patient"] for row in found["neighbours"]) == sorted(
        f"P{i}" for i in range(12) if i != 3
    )
    assert all(-1.001 <= row["similarity"] <= 1.001 for row in found["neighbours"])
    assert "secret" not in str(found)


@pytest.mark.parametrize("library", ["langchain-qdrant", "haystack-qdrant", "llama-index-qdrant"])
def test_on_qdrant(library: str, qdrant: QdrantNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"http://127.0.0.1:{qdrant.http}"
    fill(library, url)
    check_patients(f"--store 'qdrant+{url}?check_compatibility=false' --collection theirs")


@pytest.mark.parametrize("library", ["langchain-milvus", "haystack-milvus", "llama-index-milvus"])
def test_on_milvus(library: str, milvus: Milvus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"http://127.0.0.1:{milvus.port}"
    fill(library, url)
    check_patients(f"--store milvus+{url} --collection theirs")

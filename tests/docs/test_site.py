"""The documents' site is built from them and from the docstrings; a link or an anchor that leads nowhere fails it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cohorts
import cohorts.analysis
import cohorts.connectors
import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(root: Path, site: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the site is made from."""
    root = tmp_path / "copy"
    root.mkdir()
    shutil.copyfile(ROOT / "mkdocs.yml", root / "mkdocs.yml")
    shutil.copytree(ROOT / "docs", root / "docs")
    (root / ".links").mkdir()
    (root / ".links" / "cohorts").symlink_to(ROOT)
    return root


def test_the_site_holds_every_document_and_every_public_name(copy: Path, tmp_path: Path) -> None:
    code, told = build(copy, tmp_path / "site")
    assert code == 0, told
    sources = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]
    pages = {file.relative_to(ROOT / "docs").with_suffix(".html") for file in sources}
    assert pages <= {file.relative_to(tmp_path / "site") for file in (tmp_path / "site").rglob("*.html")}
    for package, same in (
        (cohorts, set()),
        (cohorts.analysis, set()),
        (cohorts.connectors, {*cohorts.__all__}),
    ):
        name = package.__name__
        page = (tmp_path / "site" / "api" / f"{name.rpartition('.')[2]}.html").read_text(encoding="utf-8")
        for one in package.__all__:
            assert f'id="{name}.{one}"' in page or one in same, one
    shown = (tmp_path / "site" / "tutorials" / "records.html").read_text(encoding="utf-8")
    assert "synthetic: invented patients, no clinical meaning" in shown
    text = "\n".join(file.read_text(encoding="utf-8") for file in (tmp_path / "site").rglob("*.html"))
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(?:https?:)?//[^"]*"', text)


@pytest.mark.parametrize(
    "links",
    [
        {
            "[gone](nowhere.md)": "nowhere.md",
            "[gone](encoders.md#no-such-part)": "no-such-part",
            "[gone][cohorts.no_such_name]": "cohorts.no_such_name",
        },
        {"::: cohorts.no_such_name": "no_such_name"},  # which ends the build
    ],
    ids=["links", "names"],
)
def test_a_link_that_leads_nowhere_is_told(copy: Path, tmp_path: Path, links: dict[str, str]) -> None:
    with (copy / "docs" / "index.md").open("a", encoding="utf-8") as page:
        page.write("\n" + "\n\n".join(links) + "\n")
    code, error = build(copy, tmp_path / "site")
    assert code == 1
    for link, told in links.items():
        assert any(told in line for line in error.splitlines()), link

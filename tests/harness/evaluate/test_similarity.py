"""Pairs of texts that people scored: correlations by hand, their intervals, what is refused, and the command line."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from checkpoints import in_cache, make_checkpoint
from cohorts.encoders.base import Vectors
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.errors import InputError
from cohorts.harness.evaluate import similarity
from cohorts.harness.evaluate.space import sentence_pairs as semantic
from cohorts.measures import correlation
from cohorts.reports import published
from command_line import ok, refused
from scipy.sparse import csr_array
from scipy.stats import pearsonr, spearmanr

SENTENCE = "jhliu/ClinicalNoteBERT-base-simcse_sentence"
PAIRS = [
    ("chest pain at rest", "pain in the chest at rest", 5.0),
    ("denies chest pain", "reports chest pain", 2.5),
    ("cough and fever", "fever with cough", 4.0),
    ("hip fracture after a fall", "atrial fibrillation", 0.0),
    ("started on metformin", "metformin was begun", 4.5),
    ("no oedema", "asthma since childhood", 0.5),
]


def by_angle(texts: Sequence[str]) -> Vectors:
    """Turn a text that is a number of degrees into that direction; a name has none."""
    angle = np.radians([float(text) if text.isdigit() else np.nan for text in texts])
    return np.asarray(np.nan_to_num(np.stack([np.cos(angle), np.sin(angle)], axis=1)), np.float32)


def table(
    file: Path, rows: Sequence[tuple[object, ...]], names: str = "text_a,text_b,score", mark: str = ","
) -> Path:
    lines = [names.replace(",", mark), *(mark.join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_correlations_by_hand(tmp_path: Path) -> None:
    rows = [(0, 10, 5), (0, 30, 2), (0, 40, 3), (0, 90, 1)]
    pairs = semantic.read_pairs(table(tmp_path / "p.csv", rows))
    left, right = by_angle(pairs.left), by_angle(pairs.right)
    cosines, there = semantic.pair_cosines(left, right)
    np.testing.assert_allclose(cosines, np.cos(np.radians([10, 30, 40, 90])), atol=1e-6)
    assert there.all()
    # One exchange of neighbours among 4: 1 - 6·2/(4·15).
    assert correlation.spearman(cosines, pairs.score).value == pytest.approx(0.8)
    assert correlation.pearson(cosines, pairs.score).value == pytest.approx(
        np.corrcoef(cosines, [5, 2, 3, 1])[0, 1]
    )
    sparse, _ = semantic.pair_cosines(csr_array(left), csr_array(right))
    np.testing.assert_allclose(sparse, cosines)
    one, _ = semantic.pair_cosines(np.ones((4, 2)), np.ones((4, 2)))
    for measure in (correlation.spearman, correlation.pearson):
        assert np.isnan(measure(one, pairs.score)).all()


def test_a_text_without_a_vector_counts_as_unlike(tmp_path: Path) -> None:
    pairs = semantic.read_pairs(table(tmp_path / "p.csv", [(0, 10, 5), (0, "unknown", 2), (0, 40, 3)]))
    cosines, there = semantic.pair_cosines(by_angle(pairs.left), by_angle(pairs.right))
    assert cosines[1] == 0
    assert there.tolist() == [True, False, True]


def test_intervals_are_those_of_a_bootstrap() -> None:
    """Against scipy's correlations of samples drawn by another generator; with ties, as scores have them."""
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 6, 120).astype(float)
    cosines = scores + rng.normal(0, 2, 120)
    for measure, of in ((correlation.spearman, spearmanr), (correlation.pearson, pearsonr)):
        found = measure(cosines, scores)
        assert found.value == pytest.approx(of(cosines, scores).statistic)
        drawn = [of(cosines[rows], scores[rows]).statistic for rows in rng.integers(0, 120, (600, 120))]
        assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.03)
        assert found.low < found.value < found.high


def test_words_in_common_by_hand(tmp_path: Path) -> None:
    pairs = semantic.read_pairs(
        table(tmp_path / "p.csv", [("a B", "b c", 1), ("a", "A a", 2), ("a", "b", 0)])
    )
    assert semantic.words_in_common(pairs).tolist() == [1 / 3, 1, 0]


@pytest.mark.parametrize(("name", "mark"), [("p.tsv", "\t"), ("p.csv", ";"), ("p.txt", "|")])
def test_pairs_may_be_separated_otherwise(tmp_path: Path, name: str, mark: str) -> None:
    pairs = semantic.read_pairs(
        table(tmp_path / name, PAIRS, "s1,s2,gold", mark), {"text_a": "s1", "text_b": "s2", "score": "gold"}
    )
    assert list(zip(pairs.left, pairs.right, pairs.score.tolist(), strict=True)) == PAIRS


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text_a,score\na,1\n", r"has no column text_b .*It has: text_a, score\."),
        (
            "text_a,text_b,score\na,secret,high\nc,d,1\n",
            "1 of 2 pairs lack a text or a number as score, first pair 1",
        ),
        ("text_a,text_b,score\na,  ,1\nc,d,2\n", "1 of 2 pairs lack a text"),
        ("text_a,text_b,score\na,b,1\nc,d,1\ne,f,1\n", "two different scores"),
        (None, r"pairs\.csv can't be read: No such file"),
    ],
)
def test_pairs_that_can_not_be_used_are_refused(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "pairs.csv"
    if content:
        file.write_text(content)
    with pytest.raises(InputError, match=told) as caught:
        semantic.read_pairs(file)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"left": "a"}, "A pair has text_a, text_b, score, and no left"),
        ({"text_a": "text_b"}, "two of them were given one name"),
    ],
)
def test_columns_that_no_pair_has_are_refused(tmp_path: Path, columns: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        semantic.read_pairs(tmp_path / "none.csv", columns)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [text for first, second, _ in PAIRS for text in (first, second)]
    return make_checkpoint(tmp_path_factory.mktemp("bert") / "tiny", texts, spread=0.2)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of checkpoints, and keep vectors of notes below the test's folder."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv(FOLDER, str(tmp_path / "notes"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def test_all_simcse_variants_stand_in_one_table(tiny: Path, cache: Path, tmp_path: Path) -> None:
    pairs = table(tmp_path / "sts.csv", PAIRS)
    asked = f"evaluate similarity --pairs {pairs} --out report"
    assert "None of 12 checkpoints is on this machine" in refused(asked)
    assert not Path("report").exists()
    in_cache(tiny, cache, SENTENCE)
    shown = ok(asked)
    frame = pd.read_csv("report/similarity.csv", keep_default_na=False, index_col="encoder")
    variants = [one.name for one in similarity.simcse_variants()]
    assert frame.index.tolist() == [similarity.WORDS, *variants]
    assert len(set(variants)) == 3 * 4
    here = "clinicalnotebert:base,simcse=sentence"
    assert [name for name in variants if not frame.loc[name, "why_not"]] == [here]
    for name in (similarity.WORDS, here):
        low, value, high = (float(str(frame.loc[name, f"spearman{part}"])) for part in ("_low", "", "_high"))
        assert -1 <= low <= value <= high <= 1
    printed = {name: str(frame.loc[name, "published"]) for name in variants if frame.loc[name, "published"]}
    assert sorted(printed.values()) == sorted(cells[0] for cells in published.NOTE_TASKS.rows.values())
    assert all(name.endswith("simcse=sentence") for name in printed)
    page = Path("report/report.html").read_text(encoding="utf-8")
    assert re.findall(r'<td class="published">([^<]+)</td>', page) == list(printed.values())
    assert page.count("a download fetches it") == 11
    for told in (here, "79.8", "published", "Pearson", similarity.WORDS):
        assert told in shown
    manifest = json.loads(Path("report/manifest.json").read_text())
    assert manifest["pairs"] == len(PAIRS)
    assert set(manifest["encoders"]) == {here}
    told = "".join(file.read_text(encoding="utf-8") for file in Path("report").iterdir())
    assert not [text for first, second, _ in PAIRS for text in (first, second) if text in told + shown]


def test_the_authors_own_way_is_found(tiny: Path, cache: Path, tmp_path: Path) -> None:
    """A checkpoint by SimCSE of sentences is read at its [CLS], each text by itself, as transformers alone reads it."""
    import torch
    from transformers import AutoModel, BertTokenizer

    in_cache(tiny, cache, SENTENCE)
    tokenizer, model = (
        BertTokenizer(str(tiny / "vocab.txt"), do_lower_case=False),
        AutoModel.from_pretrained(tiny),
    )

    def first(text: str) -> Vectors:
        with torch.inference_mode():
            row = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 0].numpy()
        return np.asarray(row / np.linalg.norm(row))

    cosines = [float(first(one) @ first(other)) for one, other, _ in PAIRS]
    pairs = table(tmp_path / "sts.csv", PAIRS)
    ok(
        f"evaluate similarity --pairs {pairs} --encoder clinicalnotebert:base,simcse=sentence,precision=fp32 --out r"
    )
    found = pd.read_csv("r/similarity.csv", index_col="encoder").iloc[1]
    assert found["pearson"] == pytest.approx(pearsonr(cosines, [one[2] for one in PAIRS]).statistic, abs=1e-3)
    assert found["published"] == 79.8


def test_other_columns_and_encoders_by_name(tiny: Path, cache: Path, tmp_path: Path) -> None:
    pairs = table(tmp_path / "p.csv", PAIRS, "s1,s2,gold")
    asked = f"evaluate similarity --pairs {pairs} --columns text_a=s1,text_b=s2,score=gold"
    ok(f"{asked} --encoder mine=bert:{tiny} --encoder cls=bert:{tiny},pooling=chunk-cls --out r")
    frame = pd.read_csv("r/similarity.csv", index_col="encoder")
    assert frame.index.tolist() == [similarity.WORDS, "mine", "cls"]
    assert frame["spearman"].notna().all()
    assert frame["published"].isna().all()
    assert (Path("r").stat().st_mode & 0o777, Path("r/similarity.csv").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )


def test_what_can_be_refused_is_refused_before_a_checkpoint_is_read(
    tiny: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("a checkpoint was read")

    monkeypatch.setattr("transformers.AutoModel.from_pretrained", read)
    pairs = table(tmp_path / "p.csv", PAIRS)
    asked = f"evaluate similarity --pairs {pairs} --out r --encoder mine=bert:{tiny}"
    for more, told in (
        ("--encoder word2vec", "Encoder word2vec learns from a source, and pairs are none"),
        ("--encoder fused:text,model=clinicalbert", "learns from a source"),
        ("--encoder bert:clinicalbert", "There is no checkpoint emilyalsentzer/Bio_ClinicalBERT"),
        (f"--encoder mine=bert:{tiny}", "Two encoders have one name"),
        ("--encoder nothing", "There is no encoder 'nothing'"),
        ("--columns left=a", "and no left"),
    ):
        assert told in refused(f"{asked} {more}")
    assert not Path("r").exists()
    assert not cache.exists()
    Path("r").write_text("")
    assert "Nothing can be written to r" in refused(asked)

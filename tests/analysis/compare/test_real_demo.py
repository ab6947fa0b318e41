"""The hundred real patients of MIMIC-III's demo, all of whom died at some time: compared end to end, beside pandas."""

import json
from pathlib import Path

import pandas as pd
import pytest
from command_line import ok, refused, run

FIRST_DAY, WHOLE = "--store milvus:./d.db --collection day1", "--store milvus:./d.db --collection whole"


@pytest.fixture(scope="module")
def there(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo ingested by admissions: their first day, and whole; in both a cohort."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        source = f"ingest --source mimic3 --path {shared_data / 'mimic3-demo'} --encoder codes:dim=8 --unit admission"
        ok(f"{source} --as-of admission+24h {FIRST_DAY}")
        ok(f"{source} {WHOLE}")
        for collection in (FIRST_DAY, WHOLE):
            ok(f"cohort make failing --phenotype heart_failure {collection}")
    return folder


@pytest.fixture
def at(there: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(there)
    return there


@pytest.fixture
def stays(at: Path, shared_data: Path) -> pd.DataFrame:
    """The stays of the cohort by the CSV files alone, with the days from 24 hours after admission to death."""
    table = pd.read_csv(
        shared_data / "mimic3-demo" / "ADMISSIONS.csv", parse_dates=["admittime", "dischtime", "deathtime"]
    )
    born = pd.read_csv(shared_data / "mimic3-demo" / "PATIENTS.csv", parse_dates=["dod"])
    members = json.loads(ok(f"cohort show failing --format json {FIRST_DAY}"))["members"]
    own = table[table["hadm_id"].isin([int(one["unit"]) for one in members])].merge(
        born[["subject_id", "dod"]], on="subject_id"
    )
    assert len(own) == own["subject_id"].nunique() == len(members)
    start = own["admittime"] + pd.Timedelta(days=1)
    died = own["deathtime"].fillna(own["dod"] + pd.Timedelta(hours=12))
    own = own.assign(start=start, died=died, known=died <= own["dischtime"] + pd.Timedelta(days=90))
    return own.assign(days=(died - start).dt.total_seconds() / 86_400)


def test_figures_of_real_patients_are_those_of_their_tables(at: Path, stays: pd.DataFrame) -> None:
    told = json.loads(ok(f"compare failing rest --min-cell 1 --format json {FIRST_DAY}"))
    value = {
        (one["item"], one["at"], one["measure"]): one["value"]
        for one in told["figures"]
        if one["sheet"] == "outcomes" and one["group"] == "failing"
    }
    assert told["patients"] == [len(stays), 100 - len(stays)]
    assert not told["synthetic"]
    assert "90 days after discharge" in told["censoring"]
    there = stays[stays["dischtime"] > stays["start"]]
    length = (there["dischtime"] - there["admittime"]).dt.total_seconds() / 86_400
    assert value["length of stay, days", None, "median"] == pytest.approx(length.median())
    dead = there["hospital_expire_flag"]
    assert value["death in hospital", None, "patients"] == dead.sum()
    assert value["death in hospital", None, "share"] == pytest.approx(dead.mean())
    alive = stays[stays["died"] > stays["start"]]
    for day in (30, 90):
        # Nobody's follow-up ends before day 90, so the curve's share is the plain one.
        gone = alive["known"] & (alive["days"] <= day)
        assert value["death", day, "share"] == pytest.approx(gone.mean())


def test_few_real_patients_are_hidden_and_told_to_be_few(at: Path, stays: pd.DataFrame) -> None:
    for against in ("rest", "matched"):
        told = json.loads(ok(f"compare failing {against} --format json {FIRST_DAY}"))
        counts = [one["value"] for one in told["figures"] if one["measure"] == "patients"]
        assert not any(one is not None and 0 < one < 11 for one in counts)
        died = next(
            one for one in told["figures"] if (one["item"], one["measure"]) == ("death in hospital", "share")
        )
        assert 0 < stays["hospital_expire_flag"].sum() < 11
        assert (died["value"], died["text"]) == (None, "hidden")
    _, shown, said = run(f"compare failing rest {FIRST_DAY}")
    assert "hidden" in shown
    assert "Counts below 11 are hidden" in said
    ok(f"cohort make bleeding --phenotype gi_haemorrhage {FIRST_DAY}")
    assert "bleeding has fewer than 11 patients" in refused(f"compare bleeding rest {FIRST_DAY}")


def test_a_whole_stay_has_no_endings_in_hospital(at: Path) -> None:
    told = json.loads(ok(f"compare failing rest --format json {WHOLE}"))
    assert told["time_zero"] == "discharge"
    assert {one["item"] for one in told["figures"] if one["sheet"] == "outcomes"} <= {"death", "readmission"}
    assert "--as-of admission+24h" in refused(f"compare failing rest --outcome length-of-stay {WHOLE}")

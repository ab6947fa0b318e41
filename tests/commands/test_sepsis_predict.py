"""`cohorts sepsis predict` and `recalibrate`: whose risk is told, why not others', and another site's outcomes."""

import csv
import json
import stat
from pathlib import Path

import pytest
from cohorts.encoders.registry import load_encoder
from cohorts.encoders.sepsis.encoder import Sepsis
from cohorts.records.synthetic.hospital import synthesize
from command_line import ok, refused, run

ENCODER = "sepsis:hidden=8,dim=16,epochs=3,static_columns=12,series_columns=12,text=lsa:dim=8"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict") / "tables"
    synthesize(folder, 700, seed=5)
    return folder


@pytest.fixture(scope="module")
def model(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    ok(f"fit --source mimic3 --path {hospital} --unit admission --encoder {ENCODER} --out {folder}")
    return folder


@pytest.fixture(scope="module")
def risks(hospital: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    file = tmp_path_factory.mktemp("risks") / "risks.csv"
    out = ok(f"sepsis predict --model {model} --source mimic3 --path {hospital} --out {file}")
    assert "synthetic" in out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with file.open(newline="") as rows:
        return list(csv.DictReader(rows))


def asked(model: Path, hospital: Path, more: str) -> str:
    return f"sepsis predict --model {model} --source mimic3 --path {hospital} {more}"


def test_everybody_has_a_risk_or_a_reason_for_none(risks: list[dict[str, str]]) -> None:
    told = [row for row in risks if row["risk"]]
    assert all(bool(row["risk"]) != bool(row["not_told"]) for row in risks)
    assert 50 < len(told) < len(risks)
    assert all(0 < float(row["risk"]) < 1 and row["reasons"] for row in told)
    assert len({row["not_told"] for row in risks}) > 3


def test_one_patient_is_told_the_same(risks: list[dict[str, str]], model: Path, hospital: Path) -> None:
    one = next(row for row in risks if row["risk"])
    found = json.loads(ok(asked(model, hospital, f"--patient {one['patient_id']} --format json --reasons 3")))
    assert found["synthetic"]
    assert found["trained_on_synthetic_stays"]
    assert found["as_of"] == "icu+24h"
    assert found["calibrated"]["origin"] == "stays held back in training"
    stay = next(each for each in found["stays"] if each["admission_id"] == one["admission_id"])
    assert stay["risk"] == pytest.approx(float(one["risk"]), abs=1e-6)
    assert len(stay["reasons"]) == 3
    code, out, err = run(asked(model, hospital, f"--patient {one['patient_id']}"))
    assert code == 0
    assert "adds to the risk" in out
    assert "no medical device" in err
    assert "trained on synthetic stays" in err
    rows = list(
        csv.DictReader(ok(asked(model, hospital, f"--patient {one['patient_id']} --format csv")).splitlines())
    )
    assert one["admission_id"] in {row["admission_id"] for row in rows}


def test_without_reasons_there_is_no_table_of_them(
    risks: list[dict[str, str]], model: Path, hospital: Path
) -> None:
    one = next(row for row in risks if row["risk"])
    out = ok(asked(model, hospital, f"--patient {one['patient_id']} --reasons 0"))
    assert one["admission_id"] in out
    assert "adds to the risk" not in out


def test_what_can_be_refused_is_refused_before_the_work(model: Path, hospital: Path, tmp_path: Path) -> None:
    assert "--out" in refused(asked(model, hospital, ""))
    (tmp_path / "there.csv").write_text("kept")
    assert "there already" in refused(asked(model, hospital, f"--out {tmp_path}/there.csv"))
    assert (tmp_path / "there.csv").read_text() == "kept"
    told = refused(asked(model, hospital, "--patient 4711"))
    assert "no admission" in told
    assert "not of an admission" in told
    assert "4711" not in told
    assert "No encoder" in refused(asked(tmp_path, hospital, "--patient 4711"))
    ok(f"fit --source mimic3 --path {hospital} --encoder codes:dim=8 --out {tmp_path}/codes")
    assert "tells no risk" in refused(asked(tmp_path / "codes", hospital, "--patient 4711"))


def test_risks_are_put_right_by_outcomes_of_a_site(
    risks: list[dict[str, str]], model: Path, hospital: Path, tmp_path: Path
) -> None:
    """At a site where every second stay dies, whatever its risk, all risks become about a half."""
    told = [row for row in risks if row["risk"]]
    rows = [f"{row['admission_id']},{number % 2}" for number, row in enumerate(told)]
    left_out = [f"{row['admission_id']},1" for row in risks if not row["risk"]][:5]
    (tmp_path / "outcomes.csv").write_text(
        "\n".join(["admission_id,died", *rows, *left_out, "none,0"]) + "\n"
    )
    command = f"sepsis recalibrate --model {model} --source mimic3 --path {hospital}"
    code, _, err = run(f"{command} --outcomes {tmp_path}/outcomes.csv --out {tmp_path}/ours")
    assert code == 0
    assert f"{len(told):,} stays with {len(told) // 2:,} deaths" in err
    assert "6 outcomes are of no stay here of which a risk is told" in err
    before, after = load_encoder(model), load_encoder(tmp_path / "ours")
    assert isinstance(before, Sepsis)
    assert isinstance(after, Sepsis)
    assert after.fingerprint == before.fingerprint
    assert after.model.calibrated.origin == "outcomes of this site"
    ok(asked(tmp_path / "ours", hospital, f"--out {tmp_path}/again.csv --reasons 0"))
    with (tmp_path / "again.csv").open(newline="") as file:
        again = [float(row["risk"]) for row in csv.DictReader(file) if row["risk"]]
    assert sum(again) / len(again) == pytest.approx(0.5, abs=0.02)
    assert "not empty" in refused(f"{command} --outcomes {tmp_path}/outcomes.csv --out {tmp_path}/ours")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("admission,died\n1,0\n", "no column admission_id"),
        ("admission_id,died\n7001,yes\n", "line 2:"),
        ("admission_id,died\n7001,yes\n7002,0\n7003,\n", "line 2 and 1 more:"),
        ("admission_id,died\n7001,1\n7001,0\n", "line 3"),
        ("admission_id,died\n7001,1\n", "needs 20"),
        ("", "can't be read"),
    ],
)
def test_outcomes_that_mean_nothing_are_refused(
    text: str, told: str, model: Path, hospital: Path, tmp_path: Path
) -> None:
    (tmp_path / "outcomes.csv").write_text(text)
    command = f"sepsis recalibrate --model {model} --source mimic3 --path {hospital} --outcomes {tmp_path}/outcomes.csv"
    err = refused(f"{command} --out {tmp_path}/ours")
    assert told in err
    assert "7001" not in err
    assert not (tmp_path / "ours" / "encoder.json").exists()


def test_a_model_tells_what_it_is(model: Path) -> None:
    out = " ".join(ok(f"describe --encoder {model}").split())
    assert "as of icu+24h" in out
    assert "static columns 12:" in out
    assert "series columns" in out
    assert "stays held back in training" in out
    assert "epoch" in out
    assert "synthetic data" in out


def test_outcomes_against_the_model_are_warned_of(
    risks: list[dict[str, str]], model: Path, hospital: Path, tmp_path: Path
) -> None:
    """As where the column died was taken for survived: the likelier a death, the fewer died."""
    told = sorted((row for row in risks if row["risk"]), key=lambda row: float(row["risk"]))
    rows = [f"{row['admission_id']},{int(number < len(told) // 2)}" for number, row in enumerate(told)]
    (tmp_path / "outcomes.csv").write_text("\n".join(["admission_id,died", *rows]) + "\n")
    command = f"sepsis recalibrate --model {model} --source mimic3 --path {hospital}"
    code, _, err = run(f"{command} --outcomes {tmp_path}/outcomes.csv --out {tmp_path}/ours")
    assert code == 0
    assert "not above 0" in err

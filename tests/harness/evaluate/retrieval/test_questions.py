"""Whom neighbours are judged by and who is asked about: cohorts, labels, and folds without leaks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.errors import InputError
from cohorts.harness.evaluate.retrieval import leaks, questions
from cohorts.harness.evaluate.retrieval.population import (
    CohortBy,
    age_bands,
    read_labelled,
    read_patients,
)
from cohorts.records.base import Source
from cohorts.records.sources.registry import open_source
from small_sources import people


def test_a_cohort_by_principal_diagnosis_is_that_of_the_last_admission(source: Source, tables: Path) -> None:
    stays = (
        pd.read_csv(tables / "ADMISSIONS.csv")
        .sort_values("ADMITTIME")
        .drop_duplicates("SUBJECT_ID", keep="last")
    )
    codes = pd.read_csv(tables / "DIAGNOSES_ICD.csv", dtype={"ICD9_CODE": str})
    codes = codes[codes["HADM_ID"].isin(stays["HADM_ID"]) & (codes["SEQ_NUM"] == 1)]
    theirs = set(codes["SUBJECT_ID"][codes["ICD9_CODE"].str.startswith("428")].astype(str))
    narrow, wide = (read_patients(source, ["heart_failure"], by) for by in (CohortBy.PRIMARY, CohortBy.ANY))
    inside = {unit for unit, own in zip(narrow.ids, narrow.member[:, 0], strict=True) if own}
    assert inside == theirs
    assert 0 < narrow.member.sum() < wide.member.sum()
    assert not (narrow.member & ~wide.member).any()


def test_cohorts_are_those_who_have_the_diagnosis(source: Source) -> None:
    population = read_patients(source, ["sepsis"])
    codes = pd.concat([batch.codes for batch in source.batches()])
    codes = codes[codes["kind"] == "diagnosis"]
    septic = codes["code"].str.startswith(("038", "99591", "99592"))
    assert {population.ids[row] for row in np.flatnonzero(population.member[:, 0])} == set(
        codes["unit_id"][septic]
    )
    assert set(population.groups["sex"]) == {"F", "M"}
    assert set(population.groups["admission"]) == {"elective", "emergency"}
    with pytest.raises(InputError, match="no phenotype 'flu'"):
        read_patients(source, ["flu"])


def test_age_bands() -> None:
    bands = age_bands(pd.Series([0, 44.9, 45, 79, 80, 90, np.nan]))
    assert bands.tolist() == ["under 45", "under 45", "45-64", "65-79", "80 and over", "80 and over", ""]


def test_labels_may_be_several(notes: Path, tmp_path: Path) -> None:
    columns = {"id": "id", "text": "text"}
    with open_source(
        "notes-csv", notes, work_dir=tmp_path, quarantine_file=tmp_path / "b.csv", columns=columns,
        labels=["topic", "more"],
    ) as source:  # fmt: skip
        population = read_labelled(source, ["topic", "more"])
        with pytest.raises(InputError, match="keeps no label 'other'"):
            read_labelled(source, ["other"])
        with pytest.raises(InputError, match="No two of 36 documents"):
            read_labelled(source, ["more"])
    assert population.cohorts == ["heart", "knee", "skin", "visit 0", "visit 1"]
    (fold,) = questions.deal(population, 1, 100, seed=0)
    ((_, alike, _),) = questions.blocks(population, fold)
    assert alike.sum(axis=1).tolist() == [11 + 12] * len(
        fold
    )  # of the topic, and of the other two's same visits
    assert set(fold.cohort) == {"topic or more"}


@pytest.mark.parametrize("folds", [1, 5])
def test_nobody_asked_about_is_learnt_from(folds: int) -> None:
    population = people(200)
    made = questions.deal(population, folds, 10_000, seed=1)
    assert leaks.shared_patients(population, made) == 0
    assert [len(fold.training) for fold in made] == pytest.approx([160] * folds, abs=2)
    asked = [(unit, name) for fold in made for unit, name in zip(fold.units, fold.cohort, strict=True)]
    assert len(set(asked)) == len(asked)
    for fold in made:
        for _, alike, others in questions.blocks(population, fold):
            assert alike.any(axis=1).all()
            assert not alike[~others].any()
        for unit, name, wanted in zip(fold.units, fold.cohort, fold.wanted, strict=True):
            assert population.member[unit, population.cohorts.index(name)]
            assert wanted.sum() == 1
    if folds == 5:  # everybody is asked about once in each of their cohorts, one unit of a patient
        for column, name in enumerate(population.cohorts):
            patients = set(population.patient[population.member[:, column]])
            assert {population.patient[unit] for unit, of in asked if of == name} == patients


def test_as_many_are_asked_about_as_wanted() -> None:
    made = questions.deal(people(200), 5, 7, seed=1)
    names = np.concatenate([fold.cohort for fold in made])
    assert dict(zip(*np.unique(names, return_counts=True), strict=True)) == {"c0": 7, "c1": 7}


def test_whoever_is_alone_in_a_cohort_is_not_asked_about() -> None:
    population = people(40)
    population.member[:] = False
    population.member[0, 0] = True
    with pytest.raises(InputError, match="nobody to ask about"):
        questions.deal(population, 5, 100, seed=0)

"""Corrections for several tests, by hand."""

import pytest
from cohorts.measures.corrections import holm


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == pytest.approx([1, 1])

"""Measures of a predicted probability of an outcome: pure functions of outcomes and scores."""

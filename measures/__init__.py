"""Measures as pure functions of arrays: recall, ranking, intervals, paired tests, corrections, growth, noise."""

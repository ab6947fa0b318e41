"""What evaluations share: units, splits, pairs, classifiers, baselines."""

"""What a benchmark is to do: experiment, matrix of settings, data and ground truth."""

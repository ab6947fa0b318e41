"""Clinical scores from what a batch holds: each a pure function, with its parts and how many could not be seen."""

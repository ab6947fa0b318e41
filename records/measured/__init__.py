"""What was measured: one system of units, values that can't be, and what the item ids of MIMIC mean."""

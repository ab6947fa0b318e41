"""What a run notes of what it wrote, so that it can go on, update and verify."""

"""Two groups of patients side by side: who they are, how it ended, what was done, with small counts hidden."""

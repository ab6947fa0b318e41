"""Further training of a text model on notes: masked words, SimCSE, DeCLUTR, note categories."""

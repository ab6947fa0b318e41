"""Whether vectors carry clinical meaning: one evaluation a file or folder."""

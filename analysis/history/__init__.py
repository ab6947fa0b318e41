"""What happened to patients: who they were, when their time begins, how it ended, and what was done and measured."""

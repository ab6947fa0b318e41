"""OMOP databases for tests: one of three persons, and the synthetic hospital written as one."""

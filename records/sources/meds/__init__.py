"""MEDS: events of patients in one table, each by a code; a map says what codes stand for."""

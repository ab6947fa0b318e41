"""What every source has to hold: the suite that a source of another package inherits, and the patients it writes."""

from source_contract.hospital import ICD9, SECRET, Patient, Stay, patients, write_table
from source_contract.suite import SourceContract

__all__ = ["ICD9", "SECRET", "Patient", "SourceContract", "Stay", "patients", "write_table"]

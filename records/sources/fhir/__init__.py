"""FHIR R4: resources of NDJSON files and Bundles become rows of flat tables, which are declared like a hospital's."""

"""From encoders to connectors in bulk."""

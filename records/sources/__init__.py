"""Where records come from: sources by name, and how rows of tables become batches of whole patients."""

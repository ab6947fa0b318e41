"""Effects that a user plants in the synthetic hospital."""

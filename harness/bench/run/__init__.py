"""A benchmark under way: targets, builds, repeats."""

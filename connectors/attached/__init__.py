"""Collections that someone else made: how they are described, mapped, and read."""

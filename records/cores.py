"""How many cores a program may use."""

import os


def usable_cores() -> int:
    """Return how many cores this process may use: of a machine, some may be kept from it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""What tests cost, as marks: `server`, `torch`, `slow` and `fault`. `make quick` runs what has none of them."""

from collections.abc import Iterator

import pytest

_TORCH = {
    "torch",
    "transformers",
    "sentence_transformers",
    "checkpoints",
}  # the last makes tiny ones for tests
# More than some two seconds of a core, fixtures counted in: a module, or a function of one.
SLOW: dict[str, tuple[str, ...]] = {}


def marks_of(item: pytest.Item) -> Iterator[str]:
    """Yield the marks of a test, by its fixtures, its module's imports, its folder and its name."""
    if "server_folder" in getattr(item, "fixturenames", ()):
        yield "server"
    if _imports_torch(item):
        yield "torch"
    if item.path.parent.name == "faults":
        yield "fault"
    slow = SLOW.get(item.path.name)
    if slow is not None and (not slow or getattr(item, "originalname", item.name) in slow):
        yield "slow"


def check_server_mark(request: pytest.FixtureRequest) -> None:
    """Fail a test that takes a server by name, which its fixtures don't show, and has no mark that says so."""
    if request.node.get_closest_marker("server") is None:
        pytest.fail("This test takes a server as it runs: give that case the mark server.")


def _imports_torch(item: pytest.Item) -> bool:
    module = getattr(item, "module", None)
    names = (
        str(getattr(value, "__module__", None) or getattr(value, "__name__", ""))
        for value in vars(module).values()
    )
    return any(name.partition(".")[0] in _TORCH for name in names)

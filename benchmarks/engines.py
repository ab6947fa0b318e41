"""Every engine side by side, by `cohorts bench`: `engines.toml` beside this file, or another one with $ADDRESSES.

Servers are started one after the other, so that none stands beside another one that is measured. What is measured
already is not measured again.

    PYTHONPATH=tests python benchmarks/engines.py [EXPERIMENT.toml] [OUT]
"""

import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

from servers import Milvus, QdrantNode


@contextmanager
def qdrant(folder: Path) -> Iterator[int]:
    node = QdrantNode(folder)
    node.start()
    try:
        yield node.grpc
    finally:
        node.kill(signal.SIGTERM)


@contextmanager
def milvus(folder: Path) -> Iterator[int]:
    server = Milvus(folder, settings={})  # as it comes
    server.start()
    try:
        yield server.port
    finally:
        server.end()


SERVERS = {"MILVUS": milvus, "QDRANT": qdrant}


def bench(experiment: Path, out: Path, work: Path, ports: dict[str, int], only: Sequence[str]) -> None:
    """Run the stores in `only`; the ports of servers that are not up are never asked."""
    told = Template(experiment.read_text()).substitute({"QDRANT": 1, "MILVUS": 1, **ports}, FOLDER=work)
    file = work / experiment.name
    file.write_text(told)
    names = [part for name in only for part in ("--only", name)]
    command = Path(sys.executable).with_name("cohorts")
    subprocess.run([command, "bench", file, "--out", out, *names], check=True)


def main(experiment: Path, out: Path) -> None:
    stores = tomllib.loads(experiment.read_text())["store"]
    by_server = {
        server: [store["name"] for store in stores if f"${server}" in store["address"]] for server in SERVERS
    }
    served = [name for names in by_server.values() for name in names]
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        bench(experiment, out, work, {}, [store["name"] for store in stores if store["name"] not in served])
        for server, names in by_server.items():
            with SERVERS[server](work / server) as port:
                bench(experiment, out, work, {server: port}, names)


if __name__ == "__main__":
    given = [Path(one) for one in sys.argv[1:]]
    main(
        given[0] if given else Path(__file__).with_suffix(".toml"),
        given[1] if len(given) > 1 else Path("out/bench"),
    )

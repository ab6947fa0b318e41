"""The encode step on Ray Data: batches go as files to workers that hold the encoder, and come back as vectors.

Ray sees numbers of files, vectors, and messages of ours; records stay in the files. A worker raises nothing, for Ray
writes exceptions to its logs, and those of a library may quote a note.
"""

import logging
import os
import secrets
import socket
import sys
import time
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import fields
from importlib import import_module
from math import ceil, floor
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from cohorts import errors
from cohorts.encoders.base import Encoder, Vectors
from cohorts.encoders.registry import load_encoder
from cohorts.errors import CohortsError, EngineError, FingerprintMismatch, InputError
from cohorts.extras import require
from cohorts.private_files import Scratch, open_private, touch_private
from cohorts.records.base import Batch

_FRAMES = tuple(field.name for field in fields(Batch))
_CONNECT_S = 10
_LINGER_S = 30
_TRIES = 3  # of one file: Ray itself would start a worker that dies anew for ever
_LOCAL = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # whatever the system: Ray listens on 127.0.0.1 alone
    "RAY_AUTH_MODE": "token",
    "RAY_gcs_server_port_wait_time_s": "120",  # its 30 s are too short where the processor is busy
}


def encode_on_ray(
    batches: Iterable[Batch], encoder: Path, spool: Path, *, workers: int, address: str | None = None
) -> Iterator[tuple[Batch, Vectors]]:
    """Yield every batch with its vectors, (len(batch), dim) float32, as `encode` of the encoder in the folder does.

    All batches are written below `spool` first, in a private folder that is removed at the end. Then `workers` actors
    of one CPU each encode them, of a heavy encoder with a GPU each where there are as many, on a Ray started here or
    on the cluster at `address`, whose nodes must all reach both folders. Raises MissingExtra, EngineError where Ray or
    a worker fails, and what the encoder raises of CohortsError.
    """
    if workers < 1:
        raise InputError(f"{workers} workers can't encode: it takes at least 1.")
    ray = _import_ray(local=not address)
    if address:
        _check_reachable(address)
    loaded = load_encoder(encoder)
    count = 0
    with Scratch(spool.resolve()) as folder:
        for batch in batches:
            _write(batch, _file(folder, count))
            count += 1
        if not count:
            return
        worker = (encoder.resolve(), loaded.fingerprint, folder)
        with _connected(ray, workers, address):
            gpus = gpus_each(ray.cluster_resources().get("GPU", 0), workers) if loaded.uses_transformer else 0
            # Closed before Ray is: a call that comes after its end makes Ray end the whole process.
            with closing(_answers(ray, _dataset(ray, count, worker, workers, gpus))) as answers:
                for answer in answers:
                    if answer["error"]:
                        raise getattr(errors, answer["error"], CohortsError)(answer["message"])
                    file = _file(folder, answer["number"])
                    batch = _read(file)
                    file.unlink()
                    yield batch, _vectors(answer["vectors"], len(batch), loaded.dim)


class _Worker:
    """What a Ray actor holds: the encoder, loaded at its first batch."""

    def __init__(self, encoder: Path, fingerprint: str, folder: Path) -> None:
        self._path = encoder
        self._fingerprint = fingerprint
        self._folder = folder
        self._encoder: Encoder | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row's number with the vectors of its file, or with the error that stood in their way."""
        answer = {"number": row["number"], "vectors": b"", "error": "", "message": ""}
        try:
            return answer | {"vectors": self._encode(_file(self._folder, row["number"])).tobytes()}
        except CohortsError as error:
            return answer | {"error": type(error).__name__, "message": str(error)}
        except Exception as error:  # noqa: BLE001 - Ray would write it to its logs
            return answer | {"error": EngineError.__name__, "message": _without_text(error)}

    def _encode(self, file: Path) -> Vectors:
        batch = self._batch(file)
        if self._encoder is None:
            self._encoder = self._load()
        return self._encoder.encode(batch)

    def _load(self) -> Encoder:
        encoder = load_encoder(self._path)
        if encoder.fingerprint != self._fingerprint:
            raise FingerprintMismatch(
                f"{self._path} on {socket.gethostname()} holds an encoder with fingerprint {encoder.fingerprint}; the "
                f"one asked for has {self._fingerprint}. All nodes need the same folder."
            )
        return encoder

    def _batch(self, file: Path) -> Batch:
        try:
            _count_try(file)
            return _read(file)
        except OSError as error:
            raise EngineError(
                f"{file} can't be read on {socket.gethostname()}: {type(error).__name__}. All nodes must share the "
                "folder of temporary files, and Ray's workers run as the user who writes there."
            ) from error


def check_installed() -> None:
    """Raise MissingExtra where Ray is not there; it is loaded when it is to encode."""
    require("Ray", "ray")


def _import_ray(*, local: bool) -> Any:
    """Import Ray, which reads its environment once and for the whole process. Raises MissingExtra."""
    # Threads of Ray Data may outlive the dataset: one of their calls would start or join some other Ray.
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    if local:
        os.environ.update(_LOCAL)
        # Else Ray writes one to the user's home folder.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    check_installed()
    ray = import_module("ray")
    import_module("ray.data")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # it talks on stderr; its errors are raised, too
    return ray


def _check_reachable(address: str) -> None:
    """Raise EngineError where nobody listens: Ray itself would try for minutes. Only HOST:PORT can be checked."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise EngineError(
            f"There is no Ray at {address}: {error}. The address is that of the head node."
        ) from error


@contextmanager
def _connected(ray: Any, workers: int, address: str | None) -> Iterator[None]:
    """Attach to the cluster, or start Ray here, until the end. A Ray in use already is taken as it is, and left so."""
    if ray.is_initialized():
        yield
        return
    with ExitStack() as stack:
        where: dict[str, Any] = {"address": address}
        if not address:
            where = {
                "address": "local",  # a new one, whatever RAY_ADDRESS says
                "num_cpus": workers,
                "include_dashboard": False,
                "_temp_dir": stack.enter_context(_session()),
            }
        stack.callback(ray.shutdown)  # of a cluster it only takes leave
        stack.callback(_await_ray_data)
        _start(ray, where)
        yield


@contextmanager
def _session() -> Iterator[str]:
    """Yield a folder for Ray's own files; what one of its processes still writes there is swept by the next run.

    It is not below `spool`: names of sockets stand in it, and those have about 100 characters at most.
    """
    scratch = Scratch(Path("/tmp"))  # noqa: S108 - a private folder is made in it
    try:
        yield str(scratch.folder)
    finally:
        with suppress(OSError):
            scratch.close()


def _await_ray_data() -> None:
    """Wait for Ray Data's threads: it waits two seconds itself, and what they call after Ray's end ends the process."""
    until = time.monotonic() + _LINGER_S
    while time.monotonic() < until and any(map(_is_ray_data, sys._current_frames().values())):
        time.sleep(0.01)


def _is_ray_data(frame: FrameType | None) -> bool:
    """Return whether a thread that is at this frame was begun by Ray Data, or is in it."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("ray.data."):
            return True
        frame = frame.f_back
    return False


def _start(ray: Any, where: dict[str, Any]) -> None:
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
    except (ConnectionError, RuntimeError, OSError, ValueError, ray.exceptions.RayError) as error:
        raise EngineError(f"Ray can't be reached or started: {error}") from error


def gpus_each(gpus: float, workers: int) -> float:
    """Return what a worker asks of the GPUs: one, or a share where workers are more. Ray hides a GPU not asked for."""
    return floor(10_000 / ceil(workers / gpus)) / 10_000 if gpus else 0  # Ray knows four decimals


def _dataset(ray: Any, count: int, worker: tuple[Path, str, Path], workers: int, gpus: float) -> Any:
    """Return the dataset of one row per file and its map over `workers` actors, in order."""
    numbers = ray.data.from_items([{"number": number} for number in range(count)], override_num_blocks=count)
    dataset = numbers.map(
        _Worker,
        fn_constructor_args=worker,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
        num_gpus=gpus,
    )
    dataset.context.execution_options.preserve_order = True
    dataset.context.enable_progress_bars = False
    dataset.context.print_on_execution_start = False
    return dataset


def _answers(ray: Any, dataset: Any) -> Generator[dict[str, Any]]:
    try:
        # Not iter_rows, whose threads read ahead and are never waited for.
        for bundle in dataset.iter_internal_ref_bundles():
            for block in bundle.block_refs:
                yield from ray.get(block).to_pylist()
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise EngineError(
            f"Ray gave up on encoding: {type(cause).__name__}. A worker may have run out of memory; on a cluster, all "
            "nodes need this version of cohorts."
        ) from None


def _write(batch: Batch, file: Path) -> None:
    """Write the frames one after the other; their index and types come back as they are."""
    options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(touch_private(file)), "wb") as sink:
        for name in _FRAMES:
            table = pa.Table.from_pandas(getattr(batch, name))
            with pyarrow.ipc.new_stream(sink, table.schema, options=options) as writer:
                writer.write_table(table)


def _read(file: Path) -> Batch:
    with pa.OSFile(str(file)) as source:
        return Batch(*(pyarrow.ipc.open_stream(source).read_all().to_pandas() for _ in _FRAMES))


def _count_try(file: Path) -> None:
    """Note beside the file that a worker begins with it. Raises EngineError where too many died of it."""
    tries = file.with_suffix(".tries")
    with open_private(tries, "ab") as stream:
        stream.write(b".")
    if tries.stat().st_size > _TRIES:
        raise EngineError(
            f"{_TRIES} Ray workers died while they encoded one batch, most likely for want of memory: ask for fewer "
            "workers."
        )


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.arrow"


def _vectors(content: bytes, rows: int, dim: int) -> Vectors:
    return np.frombuffer(content, np.float32).reshape(rows, dim).copy()  # the buffer can't be written to


def _without_text(error: Exception) -> str:
    """Say where an error of a library arose and not what it says: that may be patient text."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"A Ray worker on {socket.gethostname()} failed with {type(error).__name__} in {Path(frame.filename).name}, "
        f"line {frame.lineno}. Encode without Ray to see what it says."
    )

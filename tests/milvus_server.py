"""A Milvus 2.3.5 server in a network of its own: `python milvus_server.py FOLDER PORT` listens on loopback.

The server binds every interface and fixed internal ports. Here it gets a network namespace, where only its own loopback
exists; this process listened on 127.0.0.1 before it entered, and passes the bytes on. It prints the server's process
group. SIGTERM and SIGINT end both.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG = 1
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
MILVUS_PORT = 19530
PACKAGE = Path(__file__).resolve().parents[1] / ".servers" / "milvus"

libc = ctypes.CDLL(None, use_errno=True)


def enter_own_network() -> None:
    """Leave the machine's network for an empty one and raise its loopback."""
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "no network namespace can be made here (unshare)")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the other side is gone, and so is the reason to pass on
    finally:
        writer.close()


async def serve(listening: socket.socket) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", MILVUS_PORT)
        except OSError:
            writer.close()
            return
        with contextlib.suppress(asyncio.CancelledError):  # the end of this process
            await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))

    server = await asyncio.start_server(connected, sock=listening)
    async with server:
        await server.serve_forever()


def main(folder: str, port: int) -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # whoever started us may be killed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    listening = socket.create_server(("127.0.0.1", port))
    enter_own_network()
    milvus = subprocess.Popen(
        [sys.executable, "-c", "import milvus; milvus.main()", "--data", folder],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    print(milvus.pid, flush=True)  # noqa: T201 - read by whoever started us
    try:
        asyncio.run(serve(listening))
    except KeyboardInterrupt:
        pass
    finally:
        milvus.send_signal(signal.SIGINT)  # the wrapper ends its server on SIGINT and orphans it on SIGTERM
        milvus.wait(60)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

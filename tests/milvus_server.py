"""A Milvus 2.3.5 server in a network of its own: `python milvus_server.py FOLDER` prints the port on loopback.

The server binds every interface and fixed internal ports. Here it gets a network namespace, where only its own loopback
exists; this process listened on 127.0.0.1 before it entered, and passes the bytes on. SIGINT ends both.
"""

import asyncio
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
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
MILVUS_PORT = 19530


def enter_own_network() -> None:
    """Leave the machine's network for an empty one and raise its loopback."""
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
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
        await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))

    server = await asyncio.start_server(connected, sock=listening)
    async with server:
        await server.serve_forever()


def main(folder: Path) -> None:
    listening = socket.create_server(("127.0.0.1", int(os.environ.get("MILVUS_PORT", "0"))))
    enter_own_network()
    package = Path(__file__).resolve().parents[1] / ".servers" / "milvus"
    milvus = subprocess.Popen(
        [sys.executable, "-c", "import milvus; milvus.main()", "--data", str(folder)],
        env={**os.environ, "PYTHONPATH": str(package)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    print(listening.getsockname()[1], flush=True)  # noqa: T201 - read by whoever started us
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(serve(listening))
    except KeyboardInterrupt:
        pass
    finally:
        milvus.send_signal(signal.SIGINT)  # the wrapper ends its server on SIGINT and orphans it on SIGTERM
        milvus.wait(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

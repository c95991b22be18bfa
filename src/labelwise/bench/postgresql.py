"""A PostgreSQL server that lasts as long as a measurement or the tests."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def running() -> Iterator[str]:
    """Start a server on a free port of this machine; gives its address, and throws all of it away at the end.

    Raises `ValueError` if PostgreSQL is not installed, `OSError` if it does not start.
    """
    binaries = _binaries()
    if binaries is None:
        raise ValueError("PostgreSQL is not installed (Debian's package is postgresql)")
    owner = _owner()
    # Not in a folder of one's own, which may be closed to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="labelwise-postgresql-"))
    password = secrets.token_hex(8)
    (folder / "password").write_text(password)
    if owner:
        for path in (folder, folder / "password"):
            shutil.chown(path, owner["user"], owner["group"])
    try:
        make: list[str | Path] = [binaries / "initdb", "--pgdata", folder / "data", "--encoding", "UTF8"]
        make += ["--locale", "C", "--username", "labelwise", "--pwfile", folder / "password", "--auth", "scram-sha-256"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **owner)
        port = free_port()
        start: list[str | Path] = [binaries / "postgres", "-D", folder / "data", "-p", str(port)]
        start += ["-k", folder, "-h", "127.0.0.1"]
        with (folder / "log").open("w") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(start, stdout=log, stderr=log, cwd=folder, **owner)
        try:
            address = f"postgresql://labelwise:{password}@127.0.0.1:{port}"
            _wait_for(f"{address}/postgres", process, folder / "log")
            yield address
        finally:
            process.send_signal(signal.SIGQUIT)  # at once, without writing down what is thrown away
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server: str) -> str:
    """Make an empty database on a server; gives SQLAlchemy's URL of it."""
    import psycopg

    name = f"review_{secrets.token_hex(6)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server.replace('postgresql', 'postgresql+psycopg')}/{name}"


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    for _ in range(600):
        try:
            return psycopg.connect(address).close()
        except psycopg.OperationalError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    raise OSError(f"PostgreSQL does not start: {log.read_text()}")


def _binaries() -> Path | None:
    """The folder of the server's programs; that of the newest version where there are several."""
    found = shutil.which("initdb")
    if found and shutil.which("postgres"):
        return Path(found).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in installed), key=lambda path: float(path.parent.name), default=None)


def _owner() -> dict[str, Any]:
    """Whom to run the server as, for `subprocess`: it refuses to be root."""
    if os.getuid() != 0:
        return {}
    names = [each.pw_name for each in pwd.getpwall()]
    account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

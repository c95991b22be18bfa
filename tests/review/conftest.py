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
from pathlib import Path

import pytest
from tests.review.samples import make_run

from labelwise.review import people
from labelwise.review.database import Database, open_database
from labelwise.review.filling import fill


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Hashes that take no time; they name their own cost, so that all else is as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people, "_N", 2)
        yield


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished audit."""
    return make_run(tmp_path / "run")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where to keep a review: None (SQLite in the run folder), or a new database of a real PostgreSQL server."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgresql")


@pytest.fixture
def database(run: Path, url: str | None) -> Iterator[Database]:
    """The review of `run`, filled."""
    with open_database(run, url) as opened:
        fill(opened, sample=5)
        yield opened


@pytest.fixture
def postgresql(server: str) -> str:
    """The address of an empty PostgreSQL database of the test's own."""
    import psycopg

    name = f"review_{secrets.token_hex(6)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server.replace('postgresql', 'postgresql+psycopg')}/{name}"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a PostgreSQL server that runs on a free port as long as the tests do."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian's package is postgresql)")
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="labelwise-postgresql-"))  # pytest's own folders are closed to other users
    password = secrets.token_hex(8)
    (folder / "password").write_text(password)
    if owner:
        for path in (folder, folder / "password"):
            shutil.chown(path, owner["user"], owner["group"])
    try:
        make = [binaries / "initdb", "--pgdata", folder / "data", "--username", "labelwise", "--auth", "scram-sha-256"]
        make += ["--pwfile", folder / "password", "--encoding", "UTF8", "--locale", "C"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **owner)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        start = [binaries / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(start, stdout=log, stderr=log, cwd=folder, **owner)
        try:
            address = f"postgresql://labelwise:{password}@127.0.0.1:{port}"
            _wait_for(f"{address}/postgres", process, folder / "log")
            yield address
        finally:
            process.send_signal(signal.SIGQUIT)  # at once, without writing down what is thrown away
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    for _ in range(600):
        try:
            return psycopg.connect(address).close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _binaries() -> Path | None:
    """The folder of the server's programs; that of the newest version where there are several."""
    found = shutil.which("initdb")
    if found and shutil.which("postgres"):
        return Path(found).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in installed), key=lambda path: float(path.parent.name), default=None)


def _owner() -> dict[str, str | int | list[int]]:
    """Whom to run the server as, for `subprocess`: it refuses to be root."""
    if os.getuid() != 0:
        return {}
    names = [each.pw_name for each in pwd.getpwall()]
    account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

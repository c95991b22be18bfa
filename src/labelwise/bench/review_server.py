"""A real server of a review, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Server(NamedTuple):
    """A running `labelwise review`: where it is, and its process."""

    address: str
    process: subprocess.Popen[str]


@contextmanager
def serving(run: Path, *options: str, port: int = 0) -> Iterator[Server]:
    """Run `labelwise review` on a port of this machine; what it complains of goes into `server.txt` beside the run.

    Raises `OSError` with these complaints if it does not start.
    """
    command = [sys.executable, "-m", "labelwise", "review", str(run), "--port", str(port), "--no-open", *options]
    complaints = run.with_name(f"{run.name}-server.txt")
    environment = os.environ | {"LABELWISE_CACHE": str(run.parent / "cache"), "OMP_NUM_THREADS": "1"}
    with complaints.open("w") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("review"):
            raise OSError(f"the server does not start: {complaints.read_text()}")
        yield Server(line.split()[1], process)
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()

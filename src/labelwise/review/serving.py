"""From a run to a running server."""

import getpass
import os
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from os import PathLike

from labelwise.review.app import create_app
from labelwise.review.content import is_kept
from labelwise.review.database import open_database
from labelwise.review.deciding import require
from labelwise.review.filling import SAMPLE
from labelwise.review.people import Team
from labelwise.review.processes import alone
from labelwise.review.security import check_host, is_loopback, tls_advice
from labelwise.runs import RunFolder


def serve(
    run: str | PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8321,
    database: str | None = None,
    team: str | PathLike[str] | None = None,
    opinions: int | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    browser: bool = False,
    quiet: bool = False,
) -> None:
    """Serve the review of a run until it is stopped (Ctrl-C).

    `port` 0 takes a free one; `database` is SQLAlchemy's URL (default: SQLite in the run folder), `team` the file of
    those who may log in, `opinions` how many people must agree on a label. `sample` labels without a finding are asked
    about in each task, drawn by `seed` when the review is first opened. Raises `ValueError` if the run is not finished
    or the database does not fit it, `OSError` if the address is taken.
    """
    import uvicorn

    check_host(host, team)
    people = None if team is None else Team(team)
    with open_database(run, database) as opened:
        ready = "filled" in opened.settings and is_kept(RunFolder(run), opened.items())
    if not ready:  # apart, as it loads what the server does without (scikit-learn), and holds the whole source
        alone("labelwise.review.preparing", "prepare", run, database, sample=sample, seed=seed, quiet=quiet)
    with open_database(run, database, create=False) as opened, _listening(host, port) as listening:
        if opinions is not None:
            require(opened, opinions)
        app = create_app(run, opened, people, reviewer=_name())
        address = f"http://{host if ':' not in host else f'[{host}]'}:{listening.getsockname()[1]}"
        if not quiet:
            print(f"review  {address}", flush=True)
        if not is_loopback(host):
            print(tls_advice(port), file=sys.stderr)
        if browser:
            threading.Timer(0.5, webbrowser.open, (address,)).start()
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, access_log=False)
        with suppress(KeyboardInterrupt):  # which the server raises anew when it has ended well
            uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by name: asyncio sends small answers at once only where the socket says that it speaks TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere this would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)  # before the address is told, so that whoever is told it gets an answer
    except OSError as error:
        listening.close()
        raise OSError(f"{host}:{port} cannot be listened on ({error.strerror or error}); give another --port") from None
    return listening


def _name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return "reviewer"

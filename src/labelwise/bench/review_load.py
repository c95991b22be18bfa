"""Whether a review stands many findings, many reviewers at once, and a server that is killed.

A real server process, and twenty people whose every request is the page's own: a verdict, answered with the next
question. Each person keeps a log of what was acknowledged, against which the database is checked. What was sent and not
acknowledged, as the server was killed, is sent again under its token, as the page does.
"""

import http.client
import itertools
import json
import os
import random
import re
import shutil
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import numpy as np

from labelwise import runs
from labelwise.bench import postgresql
from labelwise.bench.harness import versions
from labelwise.bench.mock_runs import CLASSES, make_run, say
from labelwise.bench.review_server import Server, serving
from labelwise.progress import progress

PEOPLE = 20
RATE = 10  # verdicts a second, of all people together
_ALONE = 50  # verdicts of one person, before others come
_ACTIONS = ("keep", "unsure", "spoiled", "skip")  # which fit every question
_PAGES = ("/grid", "/progress", "/advice", "/stage?text=row+99999", "/api/counts?text=9")


@dataclass(frozen=True)
class Load:
    """How many findings there are, how long people work, and how often the server is killed."""

    findings: int = 100_000
    seconds: float = 60
    kills: int = 20


def review_load(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Twenty people at ten verdicts a second for a minute, then twenty kills, over SQLite and over PostgreSQL.

    Takes the arguments of every comparison; `full` and `out` change nothing here. Raises `ValueError` if PostgreSQL is
    not installed.
    """
    load, figures = Load(), {}
    with progress("review-load", 2 * (load.kills + 2), quiet) as advance, postgresql.running() as server:
        for name, url in (("SQLite", None), ("PostgreSQL", postgresql.new_database(server))):
            with tempfile.TemporaryDirectory(prefix="labelwise-review-") as folder:
                figures[name] = measure(large_run(Path(folder) / "run", load.findings), url, load, seed, advance)
        found = versions() | {"SQLite": sqlite3.sqlite_version, "PostgreSQL": _version(server)}
    return {
        "name": "review-load",
        "about": "A review under load: answer times, memory, and what is lost when the server is killed.",
        "data": {"made up": f"{load.findings} findings about two linked tasks"},
        "seeds": [seed],
        "figures": figures,
        "tables": _tables(figures, load),
        "versions": found,
    }


def large_run(path: Path, findings: int) -> Path:
    """The run folder of an audit with this many findings, seven eighths about one task, the others about its parent."""
    scores = np.random.default_rng(0).random(findings)
    animals = CLASSES["animal"]
    found = [
        say(row, "animal", "label", float(score), animals[row % 4], animals[(row + 1) % 4])
        for row, score in enumerate(scores)
        if row % 8 != 7
    ]
    found += [say(row, "family", "taxonomy", 0.5, "mammal", "bird") for row in range(findings - len(found))]
    source = path.with_name(f"{path.name}-source.parquet")
    run = make_run(path, findings, found, source=str(source), id="id")
    shutil.copy(run / runs.LABELS, source)  # so that the items can be read again
    (run / "probabilities").mkdir()
    np.save(run / "probabilities" / "animal.npy", np.full((2, findings, 4), 0.25, np.float32))
    return run


class Person:
    """A reviewer's browser: shows a question, sends what is said, and remembers what was acknowledged.

    `sent` and `acknowledged` hold the tokens of verdicts with their questions, `times` the seconds of each answer.
    """

    def __init__(self, address: str, name: str, seed: int):
        self.name, self.sent, self.acknowledged = name, Counter[str](), set[str]()
        self.times: list[float] = []
        self._host = urlsplit(address).netloc
        self._actions = random.Random(seed)
        self._connection: http.client.HTTPConnection | None = None
        self._csrf: str = json.loads(self.get("/api/session"))["csrf"]

    def get(self, path: str) -> str:
        """What the server answers to this address."""
        self._connection = None  # the server closes what was idle for five seconds
        return self._ask("GET", path)

    def open(self) -> float:
        """Open the queue; gives the seconds that took."""
        started = time.perf_counter()
        self._show(self.get("/"))
        return time.perf_counter() - started

    def say(self) -> bool:
        """Send a verdict on the question that is shown, and show the next; false if no whole answer came."""
        fields = {"question": self._question, "token": self._token, "action": self._actions.choice(_ACTIONS)}
        recorded = f"{self._token}:{self._question}"
        self.sent[recorded] += 1
        started = time.perf_counter()
        try:
            page = self._ask("POST", "/verdict", urlencode(fields))
        except (OSError, http.client.HTTPException):
            self._connection = None
            return False
        self.times.append(time.perf_counter() - started)
        self.acknowledged.add(recorded)
        self._show(page)
        return True

    def work(self, start: float, pause: float, number: int | None, ended: threading.Event) -> None:
        """Say something every `pause` seconds from `start`, `number` times or until `ended`, each until it is heard.

        Raises `OSError` if nothing is heard for two minutes.
        """
        for said in itertools.count() if number is None else range(number):
            ended.wait(max(0.0, start + said * pause - time.perf_counter()))
            if ended.is_set():
                return
            _until(self.say, f"{self.name} hears nothing")

    def _show(self, page: str) -> None:
        self._question, self._token = (
            re.search(rf'name="{name}" value="(\w+)"', page)[1]  # type: ignore[index]
            for name in ("question", "token")
        )

    def _ask(self, method: str, path: str, body: str | None = None) -> str:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, timeout=60)
        headers = {"Cookie": f"reviewer={self.name}"}
        if body is not None:
            headers |= {"X-CSRF-Token": self._csrf, "HX-Request": "true"}
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise ValueError(f"{method} {path} was answered {answer.status}: {text[:200]}")
        return text


def measure(
    run: Path, url: str | None, load: Load, seed: int = 0, advance: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Figures of a run whose verdicts are in this database: of one person, of all, and while the server is killed."""
    at = _Place(run, url, postgresql.free_port())
    with at.serving() as server:
        alone = Person(server.address, "alone", seed)
        first = alone.open()
        while len(alone.times) < _ALONE:
            alone.say()
        advance()
        people = [Person(server.address, f"person-{number}", seed + number + 1) for number in range(PEOPLE)]
        for each in people:
            each.open()
        with ThreadPoolExecutor(PEOPLE) as pool:
            at_work, _ = _send_out(pool, people, max(1, round(load.seconds * RATE / PEOPLE)))
            for each_work in at_work:
                each_work.result()
        times = [1000 * each for person in people for each in person.times]
        for path in _PAGES:
            alone.get(path)
        memory = _memory(server)
    everybody = [alone, *people]
    together = _checked(at, everybody)
    advance()
    killed = _kill(at, people, load.kills, seed, advance)
    return {
        "first ms": 1000 * first,
        "next ms": [1000 * each for each in alone.times],
        "memory MiB": memory,
        "together": together | {"ms": times},
        "killed": killed | _checked(at, everybody),
    }


class _Place(NamedTuple):
    """The run that is reviewed, where its verdicts are, and the port of its server."""

    run: Path
    url: str | None
    port: int

    def serving(self) -> AbstractContextManager[Server]:
        """A server of it."""
        return serving(self.run, *(() if self.url is None else ("--database", self.url)), port=self.port)


def _kill(at: _Place, people: Sequence[Person], kills: int, seed: int, advance: Callable[[], None]) -> dict[str, Any]:
    """Kill the server again and again while people work, each time after all of them could go on."""
    moments, seconds, lost = random.Random(seed), [], 0
    with ThreadPoolExecutor(PEOPLE) as pool:
        at_work, ended = _send_out(pool, people, None)
        try:
            for left in reversed(range(kills + 1)):
                heard, started = _heard(people), time.perf_counter()
                with at.serving() as server:
                    _until(partial(_all_heard, people, heard), "somebody hears nothing")
                    seconds.append(time.perf_counter() - started)
                    if not left:
                        ended.set()
                        for each in at_work:
                            each.result()
                        break
                    time.sleep(moments.uniform(0, 2))
                    server.process.kill()
                    server.process.wait()
                lost += _checked(at, people)["lost"]
                advance()
        finally:
            ended.set()
    return {"kills": kills, "lost at a kill": lost, "seconds until all go on": seconds}


def _send_out(
    pool: Executor, people: Sequence[Person], number: int | None
) -> tuple[list[Future[None]], threading.Event]:
    """People at work, each in their turn, `number` verdicts each, or until the event is set."""
    ended, start = threading.Event(), time.perf_counter()
    pause = len(people) / RATE
    return [pool.submit(each.work, start + at / RATE, pause, number, ended) for at, each in enumerate(people)], ended


def _heard(people: Sequence[Person]) -> list[int]:
    return [len(each.times) for each in people]


def _all_heard(people: Sequence[Person], before: Sequence[int]) -> bool:
    """Whether everybody was answered since."""
    return all(now > then for now, then in zip(_heard(people), before, strict=True))


def _until(holds: Callable[[], bool], complaint: str) -> None:
    """Wait until this holds, for two minutes at most."""
    end = time.monotonic() + 120
    while not holds():
        if time.monotonic() > end:
            raise OSError(f"{complaint} for two minutes")
        time.sleep(0.02)


def _checked(at: _Place, people: Sequence[Person]) -> dict[str, int]:
    """How many verdicts were acknowledged, how many of these are not in the database, and how many it has twice.

    A verdict is there twice if a person said it once, whatever the token, or if nobody sent it.
    """
    from labelwise.review.database import open_database
    from labelwise.review.schema import verdict

    acknowledged = [each for person in people for each in tuple(person.acknowledged)]
    with open_database(at.run, at.url, create=False) as database:
        rows = database.rows(verdict.select())
    names = {person.name for person in people}
    sent = {each for person in people for each in tuple(person.sent)}
    held = Counter((row.reviewer, row.question_id) for row in rows if row.reviewer in names)
    tokens = {row.token for row in rows if row.reviewer in names}
    return {
        "acknowledged": len(acknowledged),
        "lost": len(set(acknowledged) - tokens),
        "doubled": sum(held.values()) - len(held) + len(tokens - sent),
    }


def _memory(server: Server) -> float | None:
    """MiB that the server held at most; None where the system does not tell."""
    status = Path(f"/proc/{server.process.pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else None


def _version(server: str) -> str:
    import psycopg

    with psycopg.connect(f"{server}/postgres") as connection:
        return str(connection.info.parameter_status("server_version"))


def _tables(figures: dict[str, Any], load: Load) -> list[dict[str, Any]]:
    size, together, killed = [], [], []
    for name, found in figures.items():
        size.append([name, found["first ms"], median(found["next ms"]), max(found["next ms"]), found["memory MiB"]])
        times = found["together"]["ms"]
        checked = [found["together"][each] for each in ("acknowledged", "lost", "doubled")]
        together.append([name, *checked, *(float(np.quantile(times, at)) for at in (0.5, 0.99)), max(times)])
        found = found["killed"]
        checked = [found[each] for each in ("kills", "acknowledged", "lost", "doubled")]
        killed.append([name, *checked, median(found["seconds until all go on"])])
    return [
        {
            "title": f"review-load: one person, {load.findings:,} findings; answer times as the client sees them, and "
            "what the server held at most, after all of the load",
            "columns": ["database", "first question, ms", "verdict and next, ms", "the slowest, ms", "memory, MiB"],
            "rows": size,
        },
        {
            "title": f"review-load: {PEOPLE} people, {RATE} verdicts a second for {load.seconds:.0f} seconds",
            "columns": ["database", "acknowledged", "lost", "doubled", "median, ms", "99 %, ms", "the slowest, ms"],
            "rows": together,
        },
        {
            "title": "review-load: the same people while the server is killed (kill -9) at random moments",
            "columns": ["database", "kills", "acknowledged", "lost", "doubled", "seconds until all go on"],
            "rows": killed,
        },
    ]

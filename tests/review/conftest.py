from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from labelwise.bench.mock_runs import make_run
from labelwise.bench.postgresql import new_database, running
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
    return new_database(server)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a PostgreSQL server that runs as long as the tests do."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(running())
        except ValueError as error:
            pytest.skip(str(error))
        yield address

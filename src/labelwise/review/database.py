"""A review database: SQLite in the run folder, or PostgreSQL for a team."""

import hashlib
import random
import sqlite3
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, NoSuchModuleError, OperationalError

from labelwise import runs
from labelwise.review.schema import about, item, metadata, question, stands, verdict
from labelwise.runs import RunFolder

FILE = runs.REVIEW
DEFAULTS = {"opinions": 1, "lease_seconds": 300}

_TRIES = 5
_PART = 500  # values that one query is given
_Result = TypeVar("_Result")
_Value = TypeVar("_Value")


class TaskFacts(NamedTuple):
    """A label column as it was audited: its classes in their order, and the task that its class follows into."""

    name: str
    classes: tuple[str, ...]
    parent: str | None


class Database:
    """An open review database of one run; its connections are pooled, and it can be used by several threads.

    Make one with `open_database`. `run` is the run folder, `name` what to call the database in messages.
    """

    def __init__(self, engine: sa.Engine, run: Path, name: str):
        self.engine, self.run, self.name = engine, run, name
        self.passed: dict[Hashable, int] = {}  # positions before which the queue has nothing new, by who looks for what
        self._writer = engine.execution_options(writes=True)
        # One query is of one point in time by itself, so that nothing is sent to begin and to end.
        self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")

    def read(self, work: Callable[[sa.Connection], _Result]) -> _Result:
        """Give what `work` makes of a connection that reads from one point in time."""
        with self.engine.connect() as connection:
            return work(connection)

    def rows(self, wanted: sa.Select) -> Sequence[Any]:
        """Give the rows of one query."""
        with self._reader.connect() as connection:
            return connection.execute(wanted).all()

    def write(self, work: Callable[[sa.Connection], _Result]) -> _Result:
        """Run `work` in one transaction, durable when this returns; again where another writer came between."""
        for left in reversed(range(_TRIES)):
            try:
                with self._writer.begin() as connection:
                    return work(connection)
            except (IntegrityError, OperationalError) as error:
                if not left or error.connection_invalidated:
                    raise
                time.sleep(random.uniform(0, 0.05))
        raise AssertionError

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What was decided for this review: `opinions`, `lease_seconds`, `sample`, `seed`, ..."""
        return DEFAULTS | dict(self.rows(sa.select(about)))

    def set(self, **settings: Any) -> None:
        """Change settings."""

        def work(connection: sa.Connection) -> None:
            connection.execute(about.delete().where(about.c.key.in_(list(settings))))
            if settings:
                connection.execute(about.insert(), [{"key": key, "value": value} for key, value in settings.items()])

        self.write(work)
        self.forget()

    def forget(self) -> None:
        """Read settings and tasks anew when they are next wanted."""
        for name in ("settings", "tasks", "class_sets"):
            vars(self).pop(name, None)

    @cached_property
    def tasks(self) -> dict[str, TaskFacts]:
        """The label columns by name, as they were audited."""
        return {
            each["name"]: TaskFacts(each["name"], tuple(each["classes"]), each["parent"])
            for each in self.settings.get("tasks", [])
        }

    @cached_property
    def class_sets(self) -> dict[str, frozenset[str]]:
        """The audited classes of each task, to ask whether one is among them."""
        return {name: frozenset(task.classes) for name, task in self.tasks.items()}

    def classes(self, task: str) -> tuple[str, ...]:
        """The classes of a task, those that reviewers made after those that were there.

        Raises `LookupError` for an unknown task.
        """
        if task not in self.tasks:
            raise LookupError(f"there is no task {task!r}; there are {', '.join(self.tasks) or 'none'}")
        known = self.tasks[task].classes
        made = self.read(lambda connection: new_classes(connection, task))
        return known + tuple(name for name in made if name not in self.class_sets[task])

    def items(self) -> list[int]:
        """The rows of the audited table that are asked about."""
        return self.read(lambda connection: list(connection.scalars(sa.select(item.c.id))))

    def analyse(self) -> None:
        """Let the database look at what it holds, so that it plans queries well; after much was put in."""
        self.write(lambda connection: connection.exec_driver_sql("ANALYZE"))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def in_parts(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """The values, as many at once as one query may be given."""
    return (values[start : start + _PART] for start in range(0, len(values), _PART))


def new_classes(connection: sa.Connection, task: str) -> list[str]:
    """Classes of a task that reviewers made and did not take back, in the order they came."""
    rows = connection.scalars(
        sa.select(verdict.c.classes)
        .join(question, question.c.id == verdict.c.question_id)
        .where(verdict.c.action == "new_class", question.c.task == task, stands())
        .order_by(verdict.c.id)
    )
    return list(dict.fromkeys(name for names in rows for name in names))


def open_database(run: str | PathLike[str], url: str | None = None, *, create: bool = True) -> Database:
    """Open the review database of a finished audit; an empty one gets its tables if `create` says so.

    `url` is SQLAlchemy's, such as postgresql+psycopg://user:password@host/name; default: `review.sqlite` in the run
    folder. Raises `ValueError` for a run that is not finished, an unfit URL, a database of another schema version, of
    another run, or a damaged one; `FileNotFoundError` if there is none and `create` is false; `OSError` if it cannot
    be reached; `ImportError` without its driver.
    """
    folder = RunFolder(run)
    fingerprint = _fingerprint(folder)
    database = _connect(folder.path, url, create)
    try:
        _check_version(database, create)
        held = database.settings.get("fingerprint")
        if held is None:
            database.set(fingerprint=fingerprint)
        elif held != fingerprint:
            raise ValueError(
                f"{database.name} holds the review of another audit than the one in {run}; give another --database, "
                "or move it away"
            )
    except DatabaseError as error:
        raise _explained(database.name, error) from None
    except BaseException:
        database.close()
        raise
    return database


def open_other(source: str | PathLike[str]) -> Database:
    """Open another review database to read from it, by its URL or as an SQLite file, whichever audit it is of.

    Raises as `open_database` does.
    """
    if "://" in str(source):
        database = _connect(Path(), str(source), False)
    else:
        database = _connect(Path(source).parent, f"sqlite:///{source}", False)
    try:
        _check_version(database, False)
    except DatabaseError as error:
        raise _explained(database.name, error) from None
    except BaseException:
        database.close()
        raise
    return database


def migrate(run: str | PathLike[str], url: str | None = None) -> tuple[str | None, str]:
    """Bring a review database to the schema of this version; gives the revisions before and after.

    All or nothing: what was there stays as it was if a step fails. Raises as `open_database` does.
    """
    database = _connect(RunFolder(run).path, url, False)
    try:
        before = _revision(database)
        if before is not None and before not in _known():
            raise ValueError(f"{database.name} was made by a newer version of labelwise; update labelwise")
        _upgrade(database)
        return before, _known()[0]
    except DatabaseError as error:
        raise _explained(database.name, error) from None
    finally:
        database.close()


def _fingerprint(folder: RunFolder) -> str:
    digest = hashlib.sha256()
    for name in (runs.LABELS, runs.ISSUES):
        path = folder / name
        if not path.is_file():
            raise ValueError(f"the audit in {folder.path} is not finished; run its command again, it goes on")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _connect(run: Path, url: str | None, create: bool) -> Database:
    try:
        address = sa.make_url(url) if url else sa.URL.create("sqlite", database=str(run / FILE))
        name = address.render_as_string(hide_password=True) if url else str(run / FILE)
        if address.get_backend_name() == "sqlite":
            if not create and not Path(address.database or "").is_file():
                raise FileNotFoundError(f"there is no review at {name}; start one with `labelwise review {run}`")
            engine = sa.create_engine(address, connect_args={"timeout": 30})
            sa.event.listen(engine, "connect", _set_up_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        elif address.get_backend_name() == "postgresql":
            engine = sa.create_engine(address.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
        else:
            raise ValueError(f"a review is kept in SQLite or PostgreSQL; got {name}")
    except (ArgumentError, NoSuchModuleError) as error:
        raise ValueError(
            f"--database should be like postgresql+psycopg://user:password@host/name or sqlite:///FILE ({error})"
        ) from None
    except ModuleNotFoundError as error:
        raise ImportError(f"PostgreSQL needs an extra: pip install 'labelwise[postgresql]' ({error})") from None
    return Database(engine, run, name)


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, not where the driver guesses
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads before it writes must hold the write lock from its start, or it may fail half-way.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check_version(database: Database, create: bool) -> None:
    revision, (newest, *older) = _revision(database), _known()
    if revision == newest:
        return
    if revision in older:
        raise ValueError(
            f"{database.name} has schema {revision}, this version of labelwise needs {newest}; keep a copy of it, then "
            f"run `labelwise review {database.run} --migrate`"
        )
    if revision is not None:
        raise ValueError(f"{database.name} was made by a newer version of labelwise (schema {revision}); update it")
    if not create:
        raise FileNotFoundError(f"there is no review at {database.name}; start one with `labelwise review`")
    taken = set(metadata.tables) & set(database.read(lambda connection: sa.inspect(connection).get_table_names()))
    if taken:
        raise ValueError(f"{database.name} holds other tables ({', '.join(sorted(taken))}); give an empty database")
    _upgrade(database)


def _revision(database: Database) -> str | None:
    from alembic.migration import MigrationContext

    return database.read(lambda connection: MigrationContext.configure(connection).get_current_revision())


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _known() -> list[str]:
    """All revisions, the newest first."""
    from alembic.script import ScriptDirectory

    return [each.revision for each in ScriptDirectory.from_config(_config()).walk_revisions()]


def _upgrade(database: Database) -> None:
    from alembic import command

    config = _config()

    def work(connection: sa.Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    database.write(work)


def _explained(name: str, error: DatabaseError) -> Exception:
    reason = str(error.orig).strip().splitlines()[0]
    if isinstance(error, OperationalError):
        return OSError(f"{name} cannot be opened: {reason}")
    return ValueError(f"{name} is damaged or no database ({reason}); move it away, or put a copy of it back")

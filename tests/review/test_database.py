import sqlite3

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from labelwise.bench.mock_runs import make_run
from labelwise.review import database as databases
from labelwise.review.database import migrate, open_database, open_other
from labelwise.review.filling import fill
from labelwise.review.people import note_event
from labelwise.review.schema import event, metadata, verdict
from labelwise.review.verdicts import record


def test_the_migrations_make_the_tables_that_the_schema_names(database):
    def compare(connection):
        return compare_metadata(MigrationContext.configure(connection), metadata)

    assert database.read(compare) == []


@pytest.mark.parametrize("table", [verdict, event])
@pytest.mark.parametrize("change", ["update", "delete"])
def test_what_was_said_and_done_is_never_changed(database, table, change):
    record(database, "ada", 1, "keep")
    note_event(database, "ada", "export")
    before = database.rows(table.select())
    assert before
    statement = table.update().values(id=99) if change == "update" else table.delete()
    with pytest.raises(sa.exc.DatabaseError, match="never changed"):
        database.write(lambda connection: connection.execute(statement))
    assert database.rows(table.select()) == before


def test_a_transaction_is_there_as_a_whole_or_not_at_all(database):
    def work(connection):
        connection.execute(event.insert(), {"at": 0.0, "who": "ada", "what": "half", "detail": {}})
        raise LookupError("broken off")

    with pytest.raises(LookupError):
        database.write(work)
    assert database.rows(event.select()) == []


def test_a_writer_who_comes_between_is_waited_for(database):
    tries = []

    def work(connection):
        tries.append(1)
        if len(tries) < 3:
            raise sa.exc.OperationalError("statement", {}, Exception("another was faster"))
        return "done"

    assert database.write(work) == "done"
    assert len(tries) == 3


def test_an_older_schema_is_refused_with_the_command_that_migrates_it(run, url, monkeypatch):
    with open_database(run, url):
        pass
    monkeypatch.setattr(databases, "_known", lambda: ["0002", "0001"])
    with pytest.raises(ValueError, match=r"has schema 0001.* needs 0002.* `labelwise review .*run --migrate`"):
        open_database(run, url)
    monkeypatch.setattr(databases, "_known", lambda: ["0000"])
    with pytest.raises(ValueError, match=r"made by a newer version of labelwise \(schema 0001\)"):
        open_database(run, url)
    with pytest.raises(ValueError, match="newer version"):
        migrate(run, url)


def test_a_step_that_fails_leaves_the_database_as_it_was(run, url, monkeypatch):
    with open_database(run, url) as database:
        fill(database)
        record(database, "ada", 1, "keep")

    def fail(config, to):
        config.attributes["connection"].execute(sa.text("DROP VIEW current_verdict"))
        raise RuntimeError("a broken step")

    monkeypatch.setattr("alembic.command.upgrade", fail)
    with pytest.raises(RuntimeError):
        migrate(run, url)
    with open_database(run, url) as database:
        assert len(database.rows(sa.text("SELECT * FROM current_verdict"))) == 1


def test_the_review_of_another_audit_is_refused(run, url, tmp_path):
    with open_database(run, url):
        pass
    other = make_run(tmp_path / "other", rows=41)
    with pytest.raises(ValueError, match="the review of another audit"):
        open_database(other, url or f"sqlite:///{run / 'review.sqlite'}")


def test_a_database_that_holds_other_tables_is_left_alone(run, tmp_path):
    path = tmp_path / "mine.sqlite"
    with sqlite3.connect(path) as mine:
        mine.execute("CREATE TABLE item (id INTEGER)")
    with pytest.raises(ValueError, match=r"holds other tables \(item\)"):
        open_database(run, f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("mysql://host/name", ValueError, "SQLite or PostgreSQL"),
        ("nonsense", ValueError, "--database should be like"),
        ("postgresql://ada:secret@127.0.0.1:1/name", OSError, "cannot be opened"),
        ("sqlite:////no/such/folder/a.sqlite", OSError, "cannot be opened"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_without_its_password(run, url, error, message):
    with pytest.raises(error, match=message) as raised:
        open_database(run, url)
    assert "secret" not in str(raised.value)


def test_a_damaged_file_is_named(run):
    (run / "review.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(ValueError, match=r"review.sqlite is damaged or no database .*put a copy of it back"):
        open_database(run)


def test_what_is_not_there_is_not_made_in_passing(run, tmp_path):
    for fails in (lambda: open_database(run, create=False), lambda: open_other(tmp_path / "none.sqlite")):
        with pytest.raises(FileNotFoundError, match="there is no review at"):
            fails()
    assert not (run / "review.sqlite").exists()
    (run / "issues.parquet").unlink()
    with pytest.raises(ValueError, match="is not finished"):
        open_database(run)

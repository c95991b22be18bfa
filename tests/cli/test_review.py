import os
import re
import signal
import socket
import subprocess
import sys

import httpx2
import pytest
from tests.review.serving import ask
from typer.testing import CliRunner

from labelwise.bench.mock_runs import make_run
from labelwise.bench.review_server import serving
from labelwise.cli.main import app
from labelwise.review.database import open_database
from labelwise.review.filling import fill
from labelwise.review.queue import question_by_id
from labelwise.review.verdicts import record


def review(*arguments):
    return CliRunner().invoke(app, ["review", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not a run folder"),
        (["RUN", "--host", "0.0.0.0"], "--team team.yaml"),
        (["RUN", "--team", "none.yaml"], "there is no team file none.yaml"),
        (["RUN", "--database", "mysql://host/name"], "SQLite or PostgreSQL"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(tmp_path, arguments, message):
    run = make_run(tmp_path / "run")
    result = review(*(run if each == "RUN" else each for each in arguments), "--no-open")
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_taken_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = review(make_run(tmp_path / "run"), "--no-open", "--quiet", "--port", port)
    assert result.exit_code == 1
    assert f"127.0.0.1:{port} cannot be listened on" in result.stderr


def test_it_serves_until_it_is_stopped_and_goes_on_where_it_was(tmp_path):
    run = make_run(tmp_path / "run")
    for decided in (0, 1):
        with serving(run) as server:
            assert ask(server, "/api/counts")["states"]["decided"] == decided
            name = ask(server, "/api/session")["name"]
            assert name
            headers = {"X-CSRF-Token": ask(server, "/api/session")["csrf"]}
            number = ask(server, "/api/next")["id"]
            said = {"questions": [number], "action": "keep"}
            httpx2.post(f"{server.address}/api/verdicts", json=said, headers=headers).raise_for_status()
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(30) == 0
        assert "Traceback" not in run.with_name("run-server.txt").read_text()


def test_an_older_database_is_refused_with_the_command_that_migrates_it(tmp_path):
    run = make_run(tmp_path / "run")
    assert review(run, "--migrate").exit_code == 1
    with open_database(run):
        pass
    result = review(run, "--migrate")
    assert result.exit_code == 0
    revisions = re.match(r"schema (\w+) -> (\w+)", result.stdout)
    assert revisions[1] == revisions[2]


def test_opinions_may_be_changed_later(tmp_path):
    run = make_run(tmp_path / "run")
    with open_database(run) as database:
        fill(database)
        record(database, "ada", 1, "keep")
        assert question_by_id(database, 1).state == "decided"
    with serving(run, "--opinions", "2") as server:
        assert ask(server, "/api/questions/1")["state"] == "open"


def test_importing_the_package_loads_neither_server_nor_database():
    code = "import sys, labelwise, labelwise.review; print([m for m in ('fastapi', 'sqlalchemy') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=os.environ).strip() == "[]"

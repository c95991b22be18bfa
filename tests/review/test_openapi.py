"""Requests that the description of the interface allows, and some that it does not, against a real server."""

import contextlib

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from tests.review.served import Client, serve

from labelwise.bench.mock_runs import make_run
from labelwise.review.app import create_app
from labelwise.review.database import open_database
from labelwise.review.preparing import prepare

EXAMPLES = 10
ENDLESS = "/api/live"


@pytest.fixture
def port(tmp_path, url):
    run = make_run(tmp_path / "run")
    prepare(run, url, sample=5, quiet=True)
    with open_database(run, url) as opened:
        running = serve(create_app(run, opened))
        yield running.port
        running.stop()


def test_no_request_breaks_the_server_and_answers_are_as_described(port):
    address, client = f"http://127.0.0.1:{port}", Client(port).say_name("ada")
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json").exclude(path=ENDLESS)
    operations = [each.ok() for each in schema.get_all_operations()]
    assert {"POST /api/verdicts", "POST /api/undo", "GET /api/next"} <= {each.label for each in operations}
    asked = 0
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case):
                nonlocal asked
                asked += 1
                case.headers = {**(case.headers or {}), "X-CSRF-Token": client.csrf}
                answer = case.call(base_url=address, timeout=60)
                # What fits the description may still not fit the question, so that 400 and 404 are no failures.
                case.validate_response(answer, excluded_checks=[positive_data_acceptance])

            with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
                ask()
    assert asked > 5 * len(operations)
    assert client("GET", "/api/counts")["states"]

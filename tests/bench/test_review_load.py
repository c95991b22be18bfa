"""A review under load, a short one: the same programs and the same checks as the comparison."""

import pytest

from labelwise.bench import postgresql
from labelwise.bench.review_load import PEOPLE, Load, large_run, measure


@pytest.mark.slow
@pytest.mark.parametrize(("database", "findings"), [("SQLite", 100_000), ("PostgreSQL", 2000)])
def test_nothing_is_lost_or_doubled_under_load_and_when_the_server_is_killed(tmp_path, database, findings):
    if database == "PostgreSQL":
        try:
            with postgresql.running() as server:
                found = try_out(tmp_path, postgresql.new_database(server), findings)
        except ValueError as error:
            pytest.skip(str(error))
    else:
        found = try_out(tmp_path, None, findings)
    assert found["memory MiB"] < 300
    for part in ("together", "killed"):
        assert (found[part]["lost"], found[part]["doubled"]) == (0, 0)
    assert found["killed"]["lost at a kill"] == 0
    assert found["killed"]["acknowledged"] > found["together"]["acknowledged"] >= 50 + PEOPLE


def try_out(tmp_path, url, findings):
    return measure(large_run(tmp_path / "run", findings), url, Load(findings, seconds=2, kills=1))

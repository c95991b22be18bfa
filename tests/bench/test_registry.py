import json
import subprocess
import sys

import pytest

from labelwise import bench
from labelwise.bench import harness, registry


def test_every_comparison_says_what_it_compares():
    assert bench.names() == sorted(bench.names())
    for name in bench.names():
        assert bench.about(name)


def test_listing_is_light():
    code = "import sys; from labelwise import bench; bench.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="no comparison 'grocer'; did you mean 'grocery'"):
        bench.run("grocer")


def test_data_that_are_not_at_hand_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LABELWISE_DATA", str(tmp_path))
    monkeypatch.setenv("LABELWISE_CACHE", str(tmp_path))
    needed = {name: name for name in ["frog-calls", "grocery", "label-errors", "spoken-digits"]} | {
        "cifar10n": "cifar10",
        "lupi": "bccd",
        "mixing-modalities": "spoken-digits",
        "multi-mnist": "mnist",
        "noisy": "mnist",
        "noisy-defaults": "mnist",
        "ostracods-protocol": "frog-calls",
        "training-speed": "mnist",
        "two-tasks": "spoken-digits",
    }
    for name, data in needed.items():
        with pytest.raises(ValueError, match=data):
            bench.run(name, quiet=True)
    with pytest.raises(ValueError, match="get it with `labelwise data fetch movielens-1m`"):
        bench.run("movielens", quiet=True)


def test_a_result_is_kept_only_if_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "result_path", lambda name: tmp_path / f"{name}.json")
    monkeypatch.setitem(registry._BENCHES, "fake", ("fake", "fake", "a fake"))
    monkeypatch.setitem(sys.modules, "labelwise.bench.fake", type(sys)("fake"))
    given = {}

    def fake(**arguments):
        given.update(arguments)
        return {"name": "fake"}

    monkeypatch.setattr(sys.modules["labelwise.bench.fake"], "fake", fake, raising=False)
    assert bench.run("fake", quiet=True, seed=3) == {"name": "fake"}
    assert given == {"seed": 3, "full": False, "out": None, "quiet": True}
    assert list(tmp_path.iterdir()) == []
    bench.run("fake", save=True)
    assert json.loads((tmp_path / "fake.json").read_text()) == {"name": "fake"}


def test_a_group_runs_its_comparisons_and_keeps_each(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "result_path", lambda name: tmp_path / f"{name}.json")
    monkeypatch.setitem(sys.modules, "labelwise.bench.linked_tasks", type(sys)("fake"))
    asked = []
    for name in ("spoken-digits", "frog-calls", "grocery"):

        def fake(name=name, **arguments):
            asked.append((name, arguments))
            return {"name": name, "tables": [{"title": name, "columns": ["x"], "rows": [[1]]}]}

        monkeypatch.setattr(sys.modules["labelwise.bench.linked_tasks"], name.replace("-", "_"), fake, raising=False)
    result = bench.run("two-tasks", save=True, quiet=True, full=True, seed=3, out=tmp_path / "runs")
    assert [title for title, _, _ in bench.tables(result)] == ["spoken-digits", "frog-calls", "grocery"]
    assert [each["name"] for each in result["results"]] == [name for name, _ in asked]
    for name, arguments in asked:
        assert arguments == {"seed": 3, "full": True, "out": tmp_path / "runs" / name, "quiet": True}
        assert json.loads((tmp_path / f"{name}.json").read_text())["name"] == name
    bench.run("two-tasks", quiet=True)
    assert asked[-1][1]["out"] is None


def test_kept_results_are_complete():
    names = [name for name in registry._BENCHES if harness.result_path(name).exists()]
    assert set(registry._BENCHES) - set(names) <= {"movielens"}
    for name in names:
        result = json.loads(harness.result_path(name).read_text())
        assert result["name"] == name
        assert {"versions", "seeds", "data", "figures", "tables"} <= set(result)
        for _, columns, rows in bench.tables(result):
            assert all(len(row) == len(columns) for row in rows)

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise import bench
from labelwise.bench import synthetic_tasks
from labelwise.bench.networks import size
from labelwise.bench.synthetic_tasks import Budget, draw

TINY = Budget(rows=64, judged=32, epochs=2, batch_size=32)


def drawn(n_tasks=16, seed=0, **sizes):
    return draw(n_tasks, torch.Generator().manual_seed(seed), **sizes)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.floats(0, 1), st.integers(0, 1000))
def test_directions_of_a_group_are_alike_and_of_two_groups_are_not(n_tasks, rho, seed):
    tasks = drawn(n_tasks, seed, rows=10, judged=10, rho=rho)
    assert tasks.groups.tolist() == [task % 2 for task in range(n_tasks)]
    cosines = tasks.directions @ tasks.directions.T
    torch.testing.assert_close(cosines.diagonal(), torch.ones(n_tasks, dtype=torch.float64))
    own = 1 - rho**2  # what is a task's own adds at most this, of either sign
    shared = rho**2 * (tasks.groups[:, None] == tasks.groups).double()
    assert ((cosines - shared).abs() <= own + 1e-9).all()


def test_own_parts_average_out():
    tasks = drawn(128, rows=10, judged=10)
    cosines = tasks.directions @ tasks.directions.T
    same = (tasks.groups[:, None] == tasks.groups).triu(1)
    assert cosines[same].mean().item() == pytest.approx(0.81, abs=0.01)
    assert cosines[~same.logical_or(same.T) & ~torch.eye(128, dtype=torch.bool)].mean().item() == pytest.approx(
        0, abs=0.01
    )


def test_targets_are_those_of_the_formula():
    tasks = drawn(rows=20_000, judged=500)
    for part in ("train", "test"):
        h = 1.5 * tasks.inputs[part].double() @ tasks.directions.T
        expected = h.clone()
        for i in range(1, 5):
            expected += torch.sin(0.8 * i * h + tasks.phases[tasks.groups, i - 1])
        if part == "train":
            assert h.var(0).mean().item() == pytest.approx(2.25, rel=0.03)
            scale = expected.std(0)
            noise = tasks.targets[part] - expected / scale
            assert noise.std().item() == pytest.approx(0.1, rel=0.02)
            assert noise.mean().item() == pytest.approx(0, abs=1e-3)
        else:
            torch.testing.assert_close(tasks.targets[part].double(), expected / scale, atol=1e-5, rtol=0)
    assert (tasks.phases >= 0).all()
    assert (tasks.phases < 2 * math.pi).all()


def test_tasks_of_a_group_are_one_where_they_share_all():
    tasks = drawn(6, rho=1, rows=50, judged=50)
    targets = tasks.targets["test"]
    torch.testing.assert_close(targets[:, 0], targets[:, 4])
    assert (targets[:, 0] - targets[:, 1]).abs().max() > 0.1
    assert (tasks.targets["train"][:, 0] - tasks.targets["train"][:, 4]).abs().max() > 0.01


def test_a_seed_draws_the_same_and_parts_share_no_row():
    one, again, other = drawn(seed=3), drawn(seed=3), drawn(seed=4)
    assert all((one.inputs[part] == again.inputs[part]).all() for part in one.inputs)
    assert (one.targets["train"] == again.targets["train"]).all()
    assert (one.inputs["train"] != other.inputs["train"]).any()
    rows = torch.cat(list(one.inputs.values()))
    assert len(rows.unique(dim=0)) == len(rows) == 12_000


def test_the_wide_bottom_has_as_many_parameters():
    names = [str(task) for task in range(16)]
    ours, wide = (
        size(synthetic_tasks._BUILDERS[method](names, None, 10)) for method in ("dselect-k", "shared bottom, wide")
    )
    assert ours == 8 * (10 * 8 + 8 + 8 * 8 + 8) + 16 * (8 + 1) + 16 * (2 * 3 + 2)  # experts, heads, gates
    assert ours <= wide < 1.1 * ours


def test_a_mixture_that_knows_the_groups_shares_nothing_across_them():
    names = [str(task) for task in range(4)]
    model = synthetic_tasks._TrueGroups(names)
    said = model(torch.ones(3, 10))
    assert list(said.outputs) == names
    said.outputs["2"].sum().backward()  # of group 0
    first, second = (mixture.experts.weights[0].grad for mixture in model.mixtures)
    assert first.abs().sum() > 0
    assert second is None


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("synthetic")


@pytest.fixture(scope="module")
def result(out):
    return synthetic_tasks.run((4,), range(2), TINY, out, quiet=True)


def test_every_method_is_fitted_with_every_seed(result):
    assert json.loads(json.dumps(result, allow_nan=False))["seeds"] == [0, 1]
    methods = list(synthetic_tasks._BUILDERS)
    assert list(result["figures"]["4 tasks"]) == methods
    assert all(len(measures["mse"]) == 2 for measures in result["figures"]["4 tasks"].values())
    ((_, columns, rows),) = bench.tables(result)
    assert [row[1] for row in rows] == methods
    assert all(len(row) == len(columns) for row in rows)
    assert result["uses"]["4 tasks"]["top-k"]["most"] == [2, 2]
    assert result["uses"]["4 tasks"]["softmax"]["within"] == [1, 1]
    assert result["uses"]["4 tasks"]["gumbel"]["experts"] == [1, 1]


def test_hyper_parameters_are_chosen_by_validation_rows_of_other_seeds(result, out, monkeypatch):
    picked = result["chosen"]["4 tasks"]
    assert set(picked) == {"dselect-k", "gumbel"}
    for method in picked.values():
        assert method["validation_mse"][str(method["value"])] == min(method["validation_mse"].values())
    tried = []

    def fit(n_tasks, method, seed, value, budget):
        tried.append((method, seed, value))
        return {"validation": value, "test": -seed, "parameters": 1, "experts": None}

    monkeypatch.setattr(synthetic_tasks, "_fit", fit)
    again = synthetic_tasks.run((4,), range(2), TINY, quiet=True)
    assert again["chosen"]["4 tasks"]["gumbel"]["value"] == 0.1
    assert {seed for _, seed, value in tried if value not in (None, 0.01, 0.1)}.isdisjoint(again["seeds"])
    assert {value for method, seed, value in tried if method == "gumbel" and seed < 2} == {0.1}
    assert synthetic_tasks.run((4,), range(2), TINY, out, quiet=True) == result  # from the figures kept in the folder


def test_a_network_learns(monkeypatch):
    short, long = (
        synthetic_tasks._fit(4, "dselect-k", 0, 0.05, Budget(rows=1000, judged=500, epochs=epochs))
        for epochs in (1, 30)
    )
    assert long["test"] < 0.7 * short["test"]
    assert 1 <= long["experts"] <= 2  # settled on at most k

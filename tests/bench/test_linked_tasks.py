import dataclasses
import json

import numpy as np
import pytest
import torch

from labelwise import bench
from labelwise.bench import linked_tasks
from labelwise.bench.linked_tasks import Setting, draw_groups
from labelwise.labels import LabelTable, Task
from labelwise.methods import Plan
from labelwise.models import TabularEncoder

METHODS = ["dselect-k", "shared bottom", "shared bottom, wide", "single task", "majority class"]


@pytest.fixture(scope="module")
def table():
    """Four classes, seven recordings of five rows of each, and none of class b but one."""
    generator = np.random.default_rng(0)
    recording = np.repeat(np.arange(22), 5)
    fine = np.repeat([0] * 7 + [1] + [2] * 7 + [3] * 7, 5)
    columns = {f"x{at}": generator.normal(size=110) + fine * at for at in range(3)}
    tasks = [Task("fine", classes=tuple("abcd"), parent="top"), Task("top", classes=("u", "v"))]
    return LabelTable.from_columns(
        {**columns, "recording": recording, "fine": fine, "top": fine // 2}, tasks, group="recording", source="toy.csv"
    )


@pytest.fixture(scope="module")
def setting(table):
    return Setting(
        "toy", "a toy", table, TabularEncoder, Plan(epochs=1), range(2), lambda s: draw_groups(table, "fine", s)
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("toy")


@pytest.fixture(scope="module")
def learned_from():
    """Rows learned from, validation rows and seed of every training of `result`."""
    return []


@pytest.fixture(scope="module")
def result(setting, out, learned_from):
    with pytest.MonkeyPatch.context() as patch:
        train = linked_tasks.train

        def spy(*given, **named):
            learned_from.append((given[3], given[4], given[6]))
            return train(*given, **named)

        patch.setattr(linked_tasks, "train", spy)
        return linked_tasks.run(setting, out, quiet=True)


def test_a_quarter_of_the_groups_of_each_class_is_drawn(table):
    classes = table.labels("fine")
    several = [draw_groups(table, "fine", seed) for seed in range(5)]
    for drawn in several:
        assert all(len(np.unique(drawn[table.groups == group])) == 1 for group in range(22))
        assert [len(np.unique(table.groups[drawn & (classes == each)])) for each in range(4)] == [2, 1, 2, 2]
    assert len({drawn.tobytes() for drawn in several}) == 5
    assert (draw_groups(table, "fine", 3) == several[3]).all()
    with pytest.raises(ValueError, match=r"toy.csv names no column of groups"):
        draw_groups(LabelTable(table.data, table.tasks, source="toy.csv"), "fine", 0)


def test_every_method_has_figures_for_every_task_and_seed(result):
    assert json.loads(json.dumps(result, allow_nan=False))["seeds"] == [0, 1]
    assert set(result["figures"]) == {"fine", "top"}
    for by_method in result["figures"].values():
        assert list(by_method) == METHODS
        assert all(len(values) == 2 for measures in by_method.values() for values in measures.values())
    ((title, columns, rows),) = bench.tables(result)
    assert "a toy" in title
    assert [row[1] for row in rows] == METHODS * 2
    assert all(len(row) == len(columns) for row in rows)
    assert rows[0][4] is None  # DSelect-k against itself
    assert result["overlap"] == pytest.approx(35 / 75)
    assert all(1 <= number <= 8 for number in result["experts_used"].values())


def test_the_wide_network_has_as_many_parameters(result):
    parameters = result["parameters"]
    assert parameters["shared bottom"] < parameters["dselect-k"] <= parameters["shared bottom, wide"]
    assert parameters["shared bottom, wide"] < 1.1 * parameters["dselect-k"]


def test_chance_is_the_most_frequent_class_of_the_rows_learned_from(result, table):
    tested = draw_groups(table, "fine", 0)
    labels = table.labels("fine")
    most = np.bincount(labels[~tested]).argmax()
    expected = (labels[tested] == most).mean()
    assert result["figures"]["fine"]["majority class"]["accuracy"][0] == pytest.approx(expected)


def test_test_rows_are_not_learned_from(result, learned_from, setting):
    assert len(learned_from) == 2 * 5
    for rows, validation, seed in learned_from:
        assert not setting.test(seed)[rows].any()
        assert len(rows) == 75
        assert not len(validation)


def test_a_comparison_that_was_stopped_goes_on(result, setting, out, monkeypatch):
    monkeypatch.setattr(linked_tasks, "train", None)
    again = linked_tasks.run(setting, out, quiet=True)
    assert again["figures"] == result["figures"]
    assert again["tables"] == result["tables"]
    next(out.glob("*-1.json")).unlink()
    with pytest.raises(TypeError):
        linked_tasks.run(setting, out, quiet=True)


def test_networks_see_what_is_prepared(setting, monkeypatch):
    shapes = []
    train = linked_tasks.train

    def spy(method, inputs, *given, **named):
        shapes.append(list(inputs.shape))
        return train(method, inputs, *given, **named)

    monkeypatch.setattr(linked_tasks, "train", spy)
    one = dataclasses.replace(setting, seeds=[0], prepare=lambda features: features[:, :2])
    linked_tasks.run(one, quiet=True)
    assert shapes == [[110, 2]] * 5


def test_figures_of_a_fixed_split_do_not_depend_on_each_other(setting, table):
    tested = draw_groups(table, "fine", 0)
    split = table.with_split(np.where(tested, "test", "train"))
    fixed = dataclasses.replace(setting, table=split, test=lambda seed: tested)
    assert linked_tasks.run(fixed, quiet=True)["overlap"] == 0


@pytest.mark.data
@pytest.mark.parametrize(("full", "side"), [(False, 20), (True, 40)])
def test_spoken_digits_are_split_as_published(data, monkeypatch, full, side):
    monkeypatch.setattr(linked_tasks, "run", lambda setting, out, quiet: setting)
    setting = linked_tasks.spoken_digits(full=full, quiet=True)
    table, tested = setting.table, setting.test(0)
    assert {task.name: (len(task.classes), task.parent) for task in table.tasks} == {
        "digit": (10, None),
        "speaker": (6, None),
    }
    assert (np.flatnonzero(tested) == table.rows("test")).all()
    pairs = np.bincount(table.labels("digit")[tested] * 6 + table.labels("speaker")[tested])
    assert pairs.tolist() == [5] * 60
    some = table.select(np.arange(3))
    features = torch.from_numpy(setting.encoder().fit(some).transform(some).features)
    assert setting.prepare(features).shape == (3, 1, side, side)


def test_the_same_seed_gives_the_same_figures(result, setting):
    one = dataclasses.replace(setting, seeds=[1])
    for task, by_method in linked_tasks.run(one, quiet=True)["figures"].items():
        for method, measures in by_method.items():
            assert measures["accuracy"] == result["figures"][task][method]["accuracy"][1:]

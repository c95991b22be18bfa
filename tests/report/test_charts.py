import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

from labelwise.report import charts, expert_charts

HOSTILE = '</text></svg><script>alert("x")</script>'
POINTS = [
    {"low": b / 5, "high": (b + 1) / 5, "confidence": (b + 0.5) / 5, "accuracy": b / 5, "count": b} for b in range(5)
]

TREE = {"order": [2, 0, 1], "merges": [[0, 1, 0.25], [2, 3, 0.9]]}


def steps(name: str) -> list[dict[str, Any]]:
    return [{"epoch": e, "load": {name: [1 - e / 10, e / 10, 0.0], "b": [0.0, 1 - e / 10, e / 10]}} for e in (1, 5, 10)]


DRAWINGS: dict[str, Callable[[str], Any]] = {
    "bars": lambda name: charts.class_counts({name: 40, "b": 3, "none": 0}, "c", name),
    "curve": lambda name: charts.class_counts({f"{name}{i}": 2000 // (i + 1) for i in range(100)}, "c", name),
    "confusion": lambda name: charts.confusion([name, "b"], [[0, 3], [1, 0]], "c", name),
    "gates": lambda name: charts.gate_weights([name, "b"], [[0.5, 0.5, 0], [0, 0, 1]], "c"),
    "training": lambda name: expert_charts.gate_training([name, "b"], steps(name), "c"),
    "tree": lambda name: expert_charts.task_tree([name, "b", "c"], TREE, "c"),
    "reliability": lambda name: charts.reliability({name: POINTS, "b": POINTS}, "c", name),
    "learning": lambda name: charts.learning_curve(
        [{"epoch": e, "train_loss": 1 / e, "validation_loss": None if e == 2 else 2 / e} for e in range(1, 5)],
        "c",
        name,
    ),
    "accuracies": lambda name: charts.accuracies(
        [{"task": name, "model": name, "value": 0.9, "low": 0.8, "high": 0.95, "split": "test"}], "c"
    ),
    "scores": lambda name: charts.score_histograms({name: [0, 3, 9, 1]}, "c"),
}


@pytest.fixture(params=DRAWINGS)
def drawing(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    return DRAWINGS[request.param]


def test_every_chart_is_well_formed_described_and_the_same_each_time(drawing):
    svg = drawing("a class")
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert len(root.get("aria-label", "")) > 20
    assert drawing("a class") == svg


def test_a_hostile_name_stays_text(drawing):
    root = ElementTree.fromstring(drawing(HOSTILE))
    assert {element.tag for element in root.iter()} <= {
        *("svg", "g", "path", "line", "rect", "circle", "text", "tspan", "title", "defs", "clipPath")
    }


@pytest.mark.parametrize("name", ["", " \n ", "日本語", "\\\"'] + alert(1) + ['", "${x}", "a\u2028b", "x" * 5000])
def test_any_name_can_be_drawn(drawing, name: str):
    ElementTree.fromstring(drawing(name))


def test_charts_take_their_colours_from_the_page_and_load_nothing(drawing):
    svg = drawing("a")
    names = ("accent", "second", "third", "ink", "muted", "line", "panel", "wash")
    colours = {"none", "transparent", *(f"var(--{name})" for name in names)}
    assert set(re.findall(r'(?:fill|stroke)="([^"]*)"', svg)) <= colours
    assert "style=" not in svg
    assert "http" not in svg
    assert "href" not in svg


def test_bars_show_the_count_of_every_class():
    texts = [element.text for element in ElementTree.fromstring(DRAWINGS["bars"]("a")).iter("text")]
    assert {"40", "3", "0", "a", "b", "none"} <= set(texts)


def test_equal_names_after_shortening_keep_their_own_bars():
    long = "x" * 100
    svg = charts.class_counts({long + "1": 5, long + "2": 4}, "c", "t")
    assert [element.text for element in ElementTree.fromstring(svg).iter("text")].count("5") == 1


def test_twenty_thousand_classes_make_a_small_curve():
    svg = charts.class_counts({f"c{i}": int(1e6 / (i + 1)) for i in range(20_000)}, "c", "t")
    assert len(svg) < 20_000


def test_zeros_alone_draw_nothing():
    assert charts.class_counts({"a": 0}, "c", "t") == ""
    assert charts.class_counts({}, "c", "t") == ""
    assert charts.reliability({"a": [POINTS[0]]}, "c", "t") == ""
    assert charts.learning_curve([{"epoch": 1, "train_loss": None}], "c", "m") == ""
    assert charts.score_histograms({}, "c") == ""
    assert charts.sparkline([]) == charts.sparkline([0, 0]) == ""


def test_unused_experts_leave_empty_cells():
    titles = [element.text for element in ElementTree.fromstring(DRAWINGS["gates"]("a")).iter("title")]
    assert titles == ["a, expert 1: 0.500", "a, expert 2: 0.500", "b, expert 3: 1.000"]


def test_ids_of_two_charts_differ():
    ids = [
        set(re.findall(r' id="([^"]*)"', charts.class_counts({"a": 2, "b": 1}, name, "t"))) for name in ("one", "two")
    ]
    assert not ids[0] & ids[1]


def test_experts_in_use_at_the_end_are_numbered():
    root = ElementTree.fromstring(expert_charts.gate_training(["b"], steps("a"), "c"))
    assert "3" in [element.text for element in root.iter("text")]
    assert "b: 1 at first" not in root.get("aria-label", "")
    assert "b: 2 at first, 1 at last" in root.get("aria-label", "")


def test_a_long_training_of_many_tasks_stays_small():
    load = {f"t{i}": [1 / 64] * 64 for i in range(128)}
    svg = expert_charts.gate_training(list(load), [{"epoch": e, "load": load} for e in range(1, 301)], "c")
    assert len(svg) < 1_500_000


def test_branches_of_a_tree_meet_where_their_tasks_part():
    root = ElementTree.fromstring(expert_charts.task_tree(["a", "b", "c"], TREE, "c"))
    titles = [element.text for element in root.iter("title")]
    assert titles == ["75% of experts in common"] * 3 + ["10% of experts in common"] * 3
    assert [element.text for element in root.iter("text") if element.text in "abc"] == ["b", "a", "c"]  # upwards

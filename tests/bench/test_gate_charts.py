import copy
from xml.etree import ElementTree

import pytest

from labelwise.bench import gate_charts
from labelwise.bench.gate_charts import charts
from labelwise.bench.harness import result_path
from labelwise.runs import read_json


@pytest.fixture(scope="module")
def result():
    return read_json(result_path("gate-settings"))


@pytest.fixture(scope="module")
def drawn(result):
    return charts(result)


def test_charts_are_whole_and_take_their_colours_from_the_page(drawn):
    assert list(drawn) == ["smooth-step", "training", "gamma", "entropy", "k"]
    for name, chart in drawn.items():
        svg = ElementTree.fromstring(chart)
        assert len(svg.get("aria-label")) > 60
        assert "\n" not in chart, name  # a line of its own in a page of Markdown
        for element in svg.iter():
            for key in ("fill", "stroke"):
                assert (element.get(key) or "none").startswith(("var(--", "none", "transparent")), (
                    name,
                    element.attrib,
                )


def test_every_value_is_drawn_with_what_became_of_it(result, drawn):
    for sweep in ("gamma", "entropy", "k"):
        texts = {element.text for element in ElementTree.fromstring(drawn[sweep]).iter() if element.text}
        assert {word for value in result["figures"][sweep] for word in value.split()} <= texts  # at the axis
        for value in result["figures"][sweep]:
            assert any(text.startswith(f"{value}: error ") for text in texts)


def test_colours_say_what_health_says(result):
    measured = copy.deepcopy(result["figures"]["gamma"]["1"])
    usual = measured["mse"]

    def said(early, late):
        measured.update(early=[early] * len(usual), late=[late] * len(usual))
        return gate_charts._point("1", measured, usual)["series"]

    assert [said(0.2, 0.2), said(0.9, 0.9), said(0.2, 0.9)] == list(gate_charts._VERDICTS)

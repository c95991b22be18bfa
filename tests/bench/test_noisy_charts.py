from xml.etree import ElementTree

import pytest

from labelwise.bench.noisy_charts import charts
from labelwise.bench.ranks import compare_ranks
from labelwise.bench.recommending import REFERENCE

FIGURES = {
    f"data {at}": {
        REFERENCE: {"accuracy": [0.8, 0.82]},
        "co-teaching": {"accuracy": [0.8 + 0.01 * at, 0.82 + 0.03 * at]},
        "plm": {"accuracy": [0.7, 0.75]},
    }
    for at in range(4)
}


@pytest.fixture(scope="module")
def drawn():
    accuracy = {
        name: [sum(by[name]["accuracy"]) / 2 for by in FIGURES.values()] for name in ("co-teaching", REFERENCE, "plm")
    }
    return charts({"ranks": compare_ranks(accuracy), "figures": FIGURES})


def test_charts_are_whole_and_take_their_colours_from_the_page(drawn):
    assert list(drawn) == ["noisy-ranks", "noisy-gains"]
    for chart in drawn.values():
        svg = ElementTree.fromstring(chart)
        assert "\n" not in chart  # a line of its own in a page of Markdown
        for element in svg.iter():
            for key in ("fill", "stroke"):
                assert (element.get(key) or "none").startswith(("var(--", "none", "transparent")), element.attrib


def test_every_rank_and_gain_is_told(drawn):
    said = ElementTree.fromstring(drawn["noisy-ranks"]).get("aria-label")
    assert "over 4 data sets" in said
    assert "co-teaching: mean rank 1.1; cross-entropy: mean rank 1.9; plm: mean rank 3.0" in said
    gains = ElementTree.fromstring(drawn["noisy-gains"])
    assert "co-teaching: +0.0 to +6.0; plm: -8.5 to -8.5." in gains.get("aria-label")
    assert len([element for element in gains.iter() if (element.text or "").startswith("co-teaching, data")]) == 4

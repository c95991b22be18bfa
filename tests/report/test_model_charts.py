import re
from xml.etree import ElementTree

import numpy as np
import pytest

from labelwise import report
from labelwise.audit import destabilise
from labelwise.audit.comparing import _facts
from labelwise.report.model_charts import destabilisation
from labelwise.runs import write_json


def compared(names=("copies errors", "does not")):
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 5, 800)
    given = np.where(generator.random(800) < 0.1, (truth + 1) % 5, truth)
    predictions = {
        names[0]: np.where(generator.random(800) < 0.95, given, 0),
        names[1]: np.where(generator.random(800) < 0.9, truth, 0),
    }
    return _facts(destabilise(predictions, given, truth, replicates=50), given, truth)


def test_a_ring_marks_where_models_change_places_and_is_spoken():
    facts = compared()
    (crossing,) = facts["crossings"]
    root = ElementTree.fromstring(destabilisation(facts, "c", "digit"))
    said = f"beyond {crossing['share']:.1%}, does not is ahead of copies errors"
    assert said in root.get("aria-label")
    assert said in [element.text for element in root.iter("title")]
    words = [element.text for element in root.iter("text")]
    assert {"copies errors", "does not", f"these data: {facts['share']:.1%}"} <= set(words)


def test_without_a_change_of_places_the_chart_says_so():
    facts = compared() | {"crossings": []}
    assert "no two models change places" in destabilisation(facts, "c", "digit")


def test_the_page_draws_it_and_lists_the_numbers(run):
    page = report.write(run).read_text(encoding="utf-8")
    assert "is best, if labels are wrong" not in page
    facts = compared(("<b>one</b>", "two"))
    write_json(run / "destabilised.json", {"digit": facts})
    assert report.to_dict(run)["destabilised"] == {"digit": facts}
    page = report.write(run).read_text(encoding="utf-8")
    assert "Which model of <bdi>digit</bdi> is best, if labels are wrong" in page
    assert "<b>one</b>" not in page
    share = re.escape(f"{100 * facts['crossings'][0]['share']:.1f}\u202f%")
    assert re.search(rf"Where two models change places.*{share}", page, re.DOTALL)


@pytest.mark.parametrize("content", [[], {"digit": 3}, {"digit": {"share": 0.1}}])
def test_a_broken_file_hides_the_comparison_alone(run, content):
    write_json(run / "destabilised.json", content)
    facts = report.to_dict(run)
    assert [reason["part"] for reason in facts["not_shown"] if reason["broken"]] == ["comparison of models"]
    assert "destabilised.json should hold" in report.write(run).read_text(encoding="utf-8")

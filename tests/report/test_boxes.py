import dataclasses
import json
import re

import numpy as np
import pytest
from tests.methods.boxes.samples import squares
from tests.report.conftest import HOSTILE
from tests.report.test_page import Outline

from labelwise import report
from labelwise.methods.boxes import fit_boxes
from labelwise.report import box_charts, boxes
from labelwise.runs import read_json


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A detector of classes and pictures with names that would break a careless page."""
    table = squares(16)
    names = [*table.names[:-1], HOSTILE[1]]
    table = dataclasses.replace(table, classes=HOSTILE[:2], names=names)
    options = {"epochs": 2, "side": 64, "alpha": 0.5}
    return fit_boxes(table, "lupi", out=tmp_path_factory.mktemp("boxes") / "run", options=options, quiet=True)


@pytest.fixture(scope="module")
def facts(fitted):
    return report.to_dict(fitted)["boxes"]


def test_the_teacher_is_an_oracle_and_the_detector_is_not(fitted, facts):
    measured = read_json(fitted / "metrics.json")
    told = [(row["who"], row["split"], row["oracle"]) for row in facts["scores"]]
    assert told == [
        ("detector", "validation", False),
        ("detector", "test", False),
        ("teacher", "validation", True),
        ("teacher", "test", True),
    ]
    assert facts["scores"][1]["figures"] == measured["boxes"]["test"]
    assert "nobody has" in facts["teacher_note"]
    assert facts["not_shown"] == []


def test_the_area_under_a_curve_is_the_average_precision_and_sizes_are_of_given_boxes(facts):
    figures = facts["scores"][1]["figures"]
    assert facts["curves"]["split"] == "test"
    for overlap, key in (("0.50", "map_50"), ("0.75", "map_75")):
        curves = facts["curves"]["by_overlap"][overlap]
        assert list(curves) == [boxes.ALL, *HOSTILE[:2]]
        assert np.mean(curves[boxes.ALL]) == pytest.approx(figures[key], abs=1e-4)
        assert all(len(curve) == 101 and curve == sorted(curve, reverse=True) for curve in curves.values())
    assert facts["sizes"] == {"split": "test", "small": 2 * 3, "medium": 0, "large": 0}


def test_pictures_with_most_errors_come_first_and_errors_are_told(facts):
    errors = [one["missed"] + one["extra"] for one in facts["pictures"]]
    assert errors == sorted(errors, reverse=True)
    assert len(errors) == 4
    for one in facts["pictures"]:
        assert one["missed"] == sum(box["alone"] for box in one["given"])
        assert one["extra"] == sum(box["alone"] for box in one["found"])
        assert all(box["score"] >= 0.3 for box in one["found"])
        assert all(box["score"] is None for box in one["given"])


def test_the_page_shows_both_sides_and_runs_nothing(fitted):
    text = report.write(fitted).read_text(encoding="utf-8")
    outline = Outline(text)
    assert "teacher <small>an oracle</small>" in text
    assert text.count('<svg class="scene"') == 8
    assert text.count("data:image/webp") == 4
    assert text.count('<use href="#scene-') == 4
    assert not any(hostile in text for hostile in HOSTILE[:2])
    assert "http" not in text.replace("http-equiv", "")
    ids = [attributes["id"] for _, attributes in outline.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    embedded = json.loads(re.search(r'id="facts">(.*?)</script>', text, re.DOTALL)[1])
    assert "pictures" not in embedded["boxes"]
    assert "Accuracy" not in text


@pytest.mark.parametrize(
    ("name", "part"),
    [("pictures.parquet", "pictures"), ("found.json", "precision by recall"), ("given.json", "precision by recall")],
)
def test_a_missing_or_broken_file_takes_its_own_part_alone(fitted, name, part):
    kept = (fitted / name).read_bytes()
    try:
        for content, broken in ((b'{"images": 3}', True), (None, False)):
            (fitted / name).unlink() if content is None else (fitted / name).write_bytes(content)
            facts = report.to_dict(fitted)["boxes"]
            assert [(each["part"], each["broken"]) for each in facts["not_shown"]] == [(part, broken)]
            assert len(facts["scores"]) == 4
            assert f"{part.capitalize()}: not shown" in report.write(fitted).read_text(encoding="utf-8")
    finally:
        (fitted / name).write_bytes(kept)


def test_a_run_about_labels_has_no_boxes(make_run):
    assert report.to_dict(make_run(["a", "b"], np.arange(20) % 2, 3))["boxes"] is None


def test_curves_are_spoken_with_their_areas():
    drawn = box_charts.precision_recall({"cat": [1.0] * 51 + [0.0] * 50, "dog": [0.0] * 101}, "c", "0.50")
    assert "average precision: cat 0.505; dog 0.000" in drawn
    assert box_charts.precision_recall({}, "c", "0.50") == ""

from pathlib import Path

import numpy as np
import pytest
import yaml

from labelwise.labels import LabelTable
from labelwise.report import kinds_of, read_about, to_dict
from labelwise.report.about import QUESTIONS, about_facts

FULL = """
badges: {human_data: false, updates: yearly}
metadata:
  title: Frogs of two valleys
  keywords: [frogs, sound]
  released: 2026-01-31
  version: 1.2
provenance:
  authors: A. Frog
variables:
  call: What was heard
  length: {meaning: Length of the call, unit: s, kind: continuous}
uses:
  - use: Counting frogs
  - {use: Naming new species, fit: unsafe, why: Two valleys only}
alerts:
  - {what: Recorded at night, severity: grey, uses: [Counting frogs]}
reference: [rain]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "about.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_answers_are_read_and_blanks_are_kept(tmp_path: Path):
    facts = read_about(write(tmp_path, FULL))
    assert facts["badges"]["human_data"] == "no"
    assert facts["metadata"]["released"] == "2026-01-31"
    assert facts["metadata"]["version"] == "1.2"
    assert facts["metadata"]["keywords"] == ["frogs", "sound"]
    assert facts["provenance"]["authors"] == ["A. Frog"]
    assert facts["metadata"]["licence"] is None
    assert facts["variables"]["call"] == {"meaning": "What was heard", "kind": None, "unit": None}
    assert facts["uses"][0] == {"use": "Counting frogs", "fit": "intended", "why": None}
    assert facts["alerts"][0]["mitigation"] is None
    assert facts["reference"] == ["rain"]
    assert (facts["answered"], facts["asked"]) == (2 + 4 + 1 + 3, sum(map(len, QUESTIONS.values())) + 3)


def test_nothing_given_leaves_every_question_open():
    facts = about_facts(None)
    assert facts["answered"] == 0
    assert all(set(facts[section]) == set(questions) for section, questions in QUESTIONS.items())
    assert facts == about_facts({"metadata": None, "uses": []})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metadat: {}", r"the file has no field 'metadat'; did you mean 'metadata'\?"),
        ("metadata: {licens: MIT}", r"metadata has no field 'licens'; did you mean 'licence'\?"),
        ("metadata: [a]", "metadata should hold `name: value` lines"),
        ("metadata: {title: [a]}", r"metadata.title should be a text; got \['a'\]"),
        ("metadata: {keywords: [{a: b}]}", r"metadata.keywords\[0\] should be a text"),
        ("variables: {x: {kind: intger}}", "variables.x.kind should be one of .*; got 'intger'"),
        ("variables: {x: {means: y}}", r"variables.x has no field 'means'; did you mean 'meaning'"),
        ("uses: teaching", "uses should be a list"),
        ("uses: [{fit: intended}]", r"uses\[0\] needs a field 'use'"),
        ("uses: [{use: a, fit: good}]", r"uses\[0\].fit should be one of intended, restricted, unsafe; got 'good'"),
        ("alerts: [{what: a, severity: gray}]", r"severity should be one of .*; got 'gray'; did you mean 'grey'"),
        ("just words", "the file should hold"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_the_remedy(tmp_path: Path, text: str, message: str):
    with pytest.raises(ValueError, match=r"about\.yaml") as caught:
        read_about(write(tmp_path, text))
    assert caught.match(message)


def test_kinds_are_handed_to_the_audit_and_columns_must_be_there(tmp_path: Path):
    facts = read_about(write(tmp_path, FULL))
    table = LabelTable.from_columns({name: np.arange(3) for name in ("call", "length", "rain")}, [])
    assert kinds_of(facts, table) == {"length": "continuous"}
    with pytest.raises(ValueError, match="has no column 'rain'"):
        kinds_of(facts, LabelTable.from_columns({"call": [1], "length": [1]}, []))


def test_the_report_reads_the_file_of_the_run(make_run):
    run = make_run(("a", "b"), np.array([0, 1, 1]), 0)
    assert to_dict(run)["about"]["answered"] == 0
    write(run, yaml.safe_dump({"metadata": {"title": "Mine"}}))
    assert to_dict(run)["about"]["metadata"]["title"] == "Mine"
    write(run, "metadata: {titel: Mine}")
    facts = to_dict(run)
    assert facts["about"] is None
    reason = next(reason for reason in facts["not_shown"] if reason["part"] == "about")
    assert reason["broken"]
    assert "did you mean 'title'" in reason["why"]

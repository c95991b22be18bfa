from pathlib import Path

import pytest
from tests.report.conftest import issue

from labelwise.report import page, to_dict
from labelwise.report.data_issues import TITLES, data_issue_facts
from labelwise.report.plain import Missing
from labelwise.runs import write_json


def test_what_to_look_at_first_comes_first(tmp_path: Path):
    path = tmp_path / "data_issues.json"
    issues = [issue(kind="rare_class", score=1), issue(kind="odd_thing"), issue(score=0.2), issue(score=0.8)]
    write_json(path, issues)
    facts = data_issue_facts(path)
    assert [(each["title"], each["score"]) for each in facts] == [
        (TITLES["leak"], 0.8),
        (TITLES["leak"], 0.2),
        (TITLES["rare_class"], 1),
        ("Odd thing", 0.5),
    ]
    assert facts[0]["ids"] == ["3"]


def test_a_missing_file_and_a_broken_one_are_told_apart(tmp_path: Path):
    path = tmp_path / "data_issues.json"
    with pytest.raises(Missing):
        data_issue_facts(path)
    for broken in ({}, [{"kind": "leak"}], [3]):
        write_json(path, broken)
        with pytest.raises(ValueError, match=r"data_issues\.json should hold a list of issues"):
            data_issue_facts(path)


def test_the_page_lists_them_and_the_glance_names_the_pressing_ones(digits_run: Path):
    facts = to_dict(digits_run)
    assert [each["kind"] for each in facts["data_issues"]] == ["leak", "leak", "rare_class"]
    sentences = [each["text"] for each in facts["glance"]["first"] if each["section"] == "data"]
    assert sentences[0] == "Columns that give the label away: 2, first “scan” of digit."
    text = page.render(facts)
    assert text.count(f'<th scope="row">{TITLES["leak"]}</th>') == 2
    assert "Only two rows." in text


def test_an_older_run_without_them_has_a_page(run: Path):
    (run / "data_issues.json").unlink()
    facts = to_dict(run)
    assert facts["data_issues"] is None
    assert {"part": "data issues", "why": "this run has no data_issues.json", "broken": False} in facts["not_shown"]
    assert "About classes, columns and groups" not in page.render(facts)


def test_names_of_classes_and_columns_are_text_and_nothing_else(hostile_page: Path):
    text = hostile_page.read_text(encoding="utf-8")
    table = text[text.index('id="data-issues"') : text.index("</table>", text.index('id="data-issues"'))]
    assert table.count('<th scope="row">') == 5
    assert "<script" not in table
    assert "<img" not in table
    assert "&lt;script&gt;" in table
    assert "{{ 7 * 191 }}" in table

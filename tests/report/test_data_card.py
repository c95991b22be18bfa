from pathlib import Path

import pytest
from tests.report.conftest import HOSTILE

from labelwise import report
from labelwise.report.data_card import md, tidy
from labelwise.report.modules import MODULES
from labelwise.report.page import CARD
from labelwise.runs import write_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("<b> & c", "&lt;b&gt; &amp; c"),
        ("# no head", "\\# no head"),
        ("1. no list", "1\\. no list"),
        ("- none", "\\- none"),
        ("well-known 1.5", "well-known 1.5"),
        ("[x](y)", "\\[x\\](y)"),
        ("two\nlines", "two lines"),
        ("it's (cm)", "it's (cm)"),
    ],
)
def test_no_text_is_taken_for_markup(text: str, shown: str):
    assert md(text) == shown


def test_blocks_are_one_line_apart():
    assert tidy("a\n\n\n\n- b\n\n- c\n## d\n\n") == "a\n\n- b\n- c\n\n## d\n"


def test_the_card_has_every_module_that_is_about_the_data(run: Path):
    report.write(run)
    text = (run / "data-card.md").read_text(encoding="utf-8")
    for name in CARD:
        assert f"## {MODULES[name].title}\n" in text
    assert "Estimated share of wrong labels of digit: 5.0\u202f% (95 % bootstrap interval" in text
    assert text.count("*not given*") > 20
    assert "\n\n\n" not in text


def test_hostile_text_stays_text(hostile_run: Path, tmp_path: Path):
    facts = report.to_dict(hostile_run)
    facts["alerts"] = [{"severity": "red", "what": text, "mitigation": text, "section": "data"} for text in HOSTILE]
    assert "<" not in report.page.render_data_card(facts)


def test_a_part_that_cannot_be_shown_leaves_the_others(run: Path):
    write_json(run / "columns.json", {"columns": {"a": {"mean": "much"}}})
    write_json(run / "describe.json", {"file": 3, "tasks": []})
    report.write(run)
    text = (run / "data-card.md").read_text(encoding="utf-8")
    assert f"## {MODULES['columns'].title}\n\nNot shown: " in text
    assert f"## {MODULES['metadata'].title}\n\n*Shows:*" in text
    assert not (run / "croissant.json").exists()
    assert "Croissant.json: " in (run / "report.html").read_text(encoding="utf-8")


def test_with_another_place_the_page_alone_is_written(digits_run: Path, tmp_path: Path):
    report.write(digits_run, tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert not (digits_run / "croissant.json").exists()

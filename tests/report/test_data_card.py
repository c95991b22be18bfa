from pathlib import Path

import pytest
from tests.report.conftest import HOSTILE

from labelwise import report
from labelwise.report.data_card import md, tidy
from labelwise.report.modules import MODULES


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
    for name in set(MODULES) - {"findings", "data", "models", "experts", "notes"}:
        assert f"## {MODULES[name].title}\n" in text
    assert "Estimated share of wrong labels of digit: 5.0\u202f% (95 % bootstrap interval" in text
    assert text.count("*not given*") > 20
    assert "\n\n\n" not in text


def test_hostile_text_stays_text(hostile_run: Path, tmp_path: Path):
    facts = report.to_dict(hostile_run)
    facts["alerts"] = [{"severity": "red", "what": text, "mitigation": text, "section": "data"} for text in HOSTILE]
    assert "<" not in report.page.render_data_card(facts)


def test_with_another_place_the_page_alone_is_written(digits_run: Path, tmp_path: Path):
    report.write(digits_run, tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert not (digits_run / "croissant.json").exists()

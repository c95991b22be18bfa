import importlib.util
import re
from pathlib import Path

import pytest

from labelwise.experts import AGGREGATORS, BALANCES

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_measured_results_fill_every_page(hooks):
    filled = {page.name: hooks.on_page_markdown(page.read_text()) for page in DOCS.rglob("*.md")}
    assert not any(re.search(r"^\[(measured|drawn|example):", text, re.MULTILINE) for text in filled.values())
    assert filled["dselect-k.md"].count("<figure><svg") == 5
    assert (DOCS.parent / "examples" / "experts_in_plain_pytorch.py").read_text() in filled["dselect-k.md"]
    assert "| gamma | test MSE |" in filled["bench.md"]


def test_a_result_that_is_not_there_stops_the_build(hooks):
    with pytest.raises(FileNotFoundError):
        hooks.on_page_markdown("[measured: nothing]")
    with pytest.raises(KeyError):
        hooks.on_page_markdown("[drawn: nothing]")


def test_the_guide_names_every_balance():
    page = (DOCS / "methods" / "dselect-k.md").read_text()
    section = page.partition("## Balancing")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([^`]+)`( \*)? \|", section, re.MULTILINE)
    assert {name for name, star in named if star} == set(AGGREGATORS)
    assert {name for name, star in named if not star} == set(BALANCES)

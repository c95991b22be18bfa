import html
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from labelwise import report
from labelwise.report import page
from labelwise.runs import read_json, write_json

HOSTILE = '<script>alert("label")</script>'
WIDE, PHONE, SMALL = {"width": 1280, "height": 900}, {"width": 390, "height": 844}, {"width": 360, "height": 740}


class Outline(HTMLParser):
    """Elements of a page, checked to be closed in the order in which they were opened."""

    VOID = ("meta", "link", "img", "input", "br", "rect")

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def written(run: Path) -> str:
    return report.write(run).read_text(encoding="utf-8")


def test_the_page_is_whole_well_formed_and_the_same_each_time(run: Path, digits_page: Path):
    first = report.write(run)
    assert first == run / "report.html"
    text = first.read_text(encoding="utf-8")
    Outline(text)
    assert first.read_bytes() == digits_page.read_bytes()
    assert [name for name in page.SECTIONS if f'<section id="{name}"' in text] == list(page.SECTIONS)
    assert "Not shown" not in text


def test_the_page_names_no_address_and_allows_nothing_but_itself(digits_page: Path):
    text = digits_page.read_text(encoding="utf-8")
    for _, attributes in Outline(text).found:
        for name in ("src", "href", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
    assert "http" not in text.replace("http-equiv", "")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in html.unescape(policy)
    assert "unsafe" not in policy


def test_ids_are_unique_and_links_lead_somewhere(digits_page: Path):
    found = Outline(digits_page.read_text(encoding="utf-8")).found
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"].removeprefix("#") for _, a in found if (a.get("href") or "").startswith("#")}
    assert targets <= set(ids)


def test_embedded_facts_are_the_summary_without_the_single_findings(digits_run: Path, digits_page: Path):
    text = digits_page.read_text(encoding="utf-8")
    embedded = re.search(r'<script type="application/json" id="facts">(.*?)</script>', text, re.DOTALL)[1]
    facts = report.to_dict(digits_run)
    facts["findings"].pop("worst")
    assert json.loads(embedded) == facts


def test_numbers_on_the_page_are_those_of_the_facts(digits_run: Path, digits_page: Path):
    text = digits_page.read_text(encoding="utf-8")
    facts = report.to_dict(digits_run)
    assert f"{facts['findings']['total']:,} findings about {facts['findings']['examples']:,} rows" in text
    f1 = facts["models"][0]["tasks"]["digit"]["scores"]["macro_f1"]["value"]
    assert f"{100 * f1:.1f}\u202f%" in text


def test_hostile_text_is_shown_as_text(hostile_page: Path):
    text = hostile_page.read_text(encoding="utf-8")
    found = Outline(text).found
    assert [tag for tag, _ in found].count("script") == 3
    assert not [attributes for tag, attributes in found if tag == "img" and "src" in attributes]
    assert HOSTILE not in text
    assert html.escape(HOSTILE, quote=True) in text.replace("&#34;", "&quot;")
    assert not re.search(r"(?<![\d.])1337(?!\d)", text)


@pytest.mark.parametrize("name", ["describe.json", "columns.json", "issues.parquet", "items.parquet", "notes.json"])
def test_a_broken_file_leaves_a_page_that_says_so(make_run, name: str):
    run = make_run(("a", "b"), np.array([0, 1, 1, 0]), 3)
    (run / name).write_bytes(b"\x00[{ broken: \xff")
    text = written(run)
    Outline(text)
    assert re.search(rf'class="(note )?broken">.*{name}', text)


def test_a_broken_model_file_leaves_a_page_that_says_so(run: Path):
    (run / "raw" / "history.json").write_bytes(b"[")
    text = written(run)
    Outline(text)
    assert re.search(r'class="note broken">Model <bdi>raw</bdi>, learning curve: not shown, .*history.json', text)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("describe.json", {"tasks": [{"name": "digit"}]}),
        ("columns.json", {"columns": {"a": {"mean": "much"}}}),
        ("raw/history.json", [{"epoch": 1, "train_loss": "high"}]),
    ],
)
def test_files_of_an_unexpected_form_hide_their_section_alone(run: Path, name: str, content: object):
    write_json(run / name, content)
    text = written(run)
    Outline(text)
    assert "Not shown" in text
    assert '<ol class="cards"' in text


def test_a_run_of_labels_alone_has_no_part_on_models(make_run):
    text = written(make_run(("a", "b"), np.array([0, 1, 1, 0]), 2))
    assert "Not shown: this run has no model.safetensors" in text
    assert '<section id="experts"' not in text


def test_a_run_of_a_model_alone(digits_run: Path, tmp_path: Path):
    text = report.write(digits_run / "corrected", tmp_path / "page.html").read_text(encoding="utf-8")
    Outline(text)
    assert "Gate weights: model" in text
    assert not (digits_run / "corrected" / "report.html").exists()


def test_nothing_found_is_good_news(make_run):
    text = written(make_run(("a", "b"), np.array([0, 1]), 0))
    assert "The audit flagged nothing." in text
    assert "Nothing was flagged." in text


def test_ten_thousand_findings_over_many_classes_stay_small(make_run):
    """139 classes and 80,000 rows, as in the Noisy Ostracods data."""
    generator = np.random.default_rng(0)
    sizes = 1 / np.arange(1, 140) ** 1.5
    codes = generator.choice(139, 80_000, p=sizes / sizes.sum())
    run = make_run(tuple(f"Genus species {i}" for i in range(139)), codes, 10_000)
    path = report.write(run)
    assert path.stat().st_size < 4e6
    text = path.read_text(encoding="utf-8")
    assert text.count('<li class="card"') == page.FIRST_PAGE + 1  # and the empty one for the script
    listed = json.loads(listing(text))
    assert len(listed["rows"]) == 10_000
    assert len(listed["items"]) == 2_000


def test_a_finding_takes_few_bytes_and_a_page_of_texts_stays_below_three_megabytes(make_run):
    """What many findings say alike stands in the page once: at most 60 bytes each, beside what items look like."""
    folder = make_run(("World", "Sport", "Business"), np.arange(100_000) % 3, 10_000)
    issues = pd.read_parquet(folder / "issues.parquet")
    sure = np.random.default_rng(0).random(len(issues))
    issues["score"] = -np.sort(-sure)
    issues["why"] = [
        f"2 of 3 models predict {name!r}, 3 another class than the given one; probability of the given label "
        f"{share:.2f}; confident learning counts it as wrong"
        for name, share in zip(issues["suggested"], sure, strict=True)
    ]
    issues.to_parquet(folder / "issues.parquet")
    text = " ".join(f"word{at}" for at in range(100))[:700].encode()
    items = pd.DataFrame({"example": issues["example"][:2000], "kind": "text", "content": [text] * 2000})
    items.to_parquet(folder / "items.parquet")
    path = report.write(folder)
    assert path.stat().st_size < 3e6
    listed = listing(path.read_text(encoding="utf-8"))
    told = json.loads(listed)
    assert len(listed) - len(json.dumps(told["items"], separators=(",", ":"))) < 60 * len(issues)
    whys = ["; ".join(told["words"][at] for at in row[4]) for row in told["rows"]]
    assert sorted(whys) == sorted(issues["why"])


def listing(text: str) -> str:
    """What the page holds for its script."""
    found = re.search(r'<script type="application/json" id="listed">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return found[1]


def test_every_section_says_what_it_shows_and_what_it_cannot_know(digits_run: Path, digits_page: Path):
    text = digits_page.read_text(encoding="utf-8")
    modules = report.to_dict(digits_run)["modules"]
    for name in page.SECTIONS:
        section = text[text.index(f'<section id="{name}"') :]
        section = html.unescape(section[: section.index("</section>")])
        assert section.index(modules[name]["title"]) < section.index(modules[name]["shows"])
        assert section.index(modules[name]["shows"]) < section.index(modules[name]["cannot"])


def test_what_people_left_out_is_visible(run: Path):
    text = written(run)
    open_questions = text.count('<em class="blank">not given</em>')
    assert open_questions >= 26
    assert "Questions answered</span> 0 of 26" in text
    (run / "about.yaml").write_text("metadata: {title: '<b>Ten & digits'}\nvariables: {digit: What was drawn}\n")
    text = written(run)
    assert "<h1><bdi>&lt;b&gt;Ten &amp; digits</bdi></h1>" in text
    assert "What was drawn" in text
    assert text.count('<em class="blank">not given</em>') == open_questions - 2
    (run / "about.yaml").write_text("metadata: {titel: a}")
    text = written(run)
    Outline(text)
    assert "Not shown: about.yaml: metadata has no field &#39;titel&#39;" in text


def test_the_error_rate_stands_with_its_interval_and_method(digits_page: Path):
    text = digits_page.read_text(encoding="utf-8")
    assert "digit (95 % interval 4.0–6.0)" in text
    assert "bootstrap over the confident joint" in text


def test_a_page_that_cannot_be_written_leaves_the_old_one(make_run, monkeypatch: pytest.MonkeyPatch):
    run = make_run(("a", "b"), np.array([0, 1]), 1)
    before = report.write(run).read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        report.write(run)
    assert (run / "report.html").read_bytes() == before


@pytest.mark.browser
def test_opens_in_silence_and_asks_for_nothing(digits_page: Path, open_page):
    opened = open_page(digits_page)
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [digits_page.as_uri()]


@pytest.mark.browser
def test_pages_turn_and_filters_filter(digits_run: Path, digits_page: Path, open_page):
    issues = pd.read_parquet(digits_run / "issues.parquet")
    browser = open_page(digits_page).page
    cards = browser.locator("#cards > li")
    assert cards.count() == page.FIRST_PAGE
    assert browser.locator("#status").inner_text() == f"1 to 24 of {len(issues)} findings"
    first = cards.first.inner_text()
    browser.get_by_role("button", name="Next").click()
    assert cards.first.inner_text() != first
    assert browser.locator("#place").inner_text().startswith("Page 2 of")
    browser.get_by_role("button", name="Previous").click()
    assert cards.first.inner_text() == first

    browser.get_by_role("combobox", name="Kind").select_option("duplicate")
    assert cards.count() == (issues["kind"] == "duplicate").sum()
    assert browser.locator("#pager").is_hidden()
    browser.get_by_role("button", name="Clear").click()
    browser.get_by_role("combobox", name="Task").select_option("holes")
    assert f"of {(issues['task'] == 'holes').sum()} findings" in browser.locator("#status").inner_text()
    browser.get_by_role("searchbox").fill("no such thing")
    assert browser.locator("#status").inner_text() == "No finding matches."
    assert cards.count() == 0


@pytest.mark.browser
def test_ten_thousand_findings_show_one_page_of_pictures(make_run, open_page, record_property):
    generator = np.random.default_rng(0)
    content = []
    for _ in range(2_000):
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 255, (20, 20), np.uint8)).save(buffer, "PNG")
        content.append(buffer.getvalue())
    items = pd.DataFrame({"example": range(2_000), "kind": "image", "content": content})
    path = report.write(make_run(("a", "b"), np.arange(10_000) % 2, 10_000, items))
    opened = open_page(path, viewport=PHONE)
    paint = opened.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    record_property("bytes", path.stat().st_size)
    record_property("first contentful paint, ms", paint)
    print(f"{path.stat().st_size / 1e6:.1f} MB, first contentful paint after {paint:.0f} ms")
    assert path.stat().st_size < 6e6
    assert opened.page.locator("#cards > li").count() == page.FIRST_PAGE
    assert opened.page.evaluate("document.images.length") == page.FIRST_PAGE
    assert opened.page.evaluate("document.querySelectorAll('*').length") < 6_000
    assert opened.page.locator("#status").inner_text() == "1 to 24 of 10,000 findings"
    opened.page.get_by_role("searchbox").fill("row 9999")
    assert opened.page.locator("#status").inner_text() == "1 to 1 of 1 findings"
    assert opened.page.locator("#cards img").count() == 0  # of the last no picture was kept
    assert opened.complaints == []


@pytest.mark.browser
def test_a_page_drawn_by_the_script_equals_that_of_the_server(digits_page: Path, open_page):
    cards = "[...document.querySelectorAll('#cards > li')].map(card => [card.innerText, card.querySelector('img').src])"
    drawn = open_page(digits_page).page.evaluate(cards)
    assert drawn == open_page(digits_page, java_script_enabled=False).page.evaluate(cards)


@pytest.mark.browser
def test_texts_sounds_and_rows_are_shown(make_run, open_page):
    row = json.dumps({"length": 1.5, "nothing": None}).encode()
    kinds = [("text", b"a line"), ("audio", b"RIFF1234"), ("row", row), ("image", b"broken")]
    items = pd.DataFrame([(at, *item) for at, item in enumerate(kinds)], columns=["example", "kind", "content"])
    browser = open_page(report.write(make_run(("a", "b"), np.array([0, 1, 0, 1, 0]), 5, items))).page
    cards = browser.locator("#cards > li")
    assert cards.locator("blockquote").all_inner_texts() == ["a line"]
    assert cards.locator("audio").get_attribute("src").startswith("data:audio/wav;base64,")
    assert cards.locator("audio").get_attribute("aria-label") == "Sound of example 1"
    browser.get_by_text("The row", exact=True).click()
    assert cards.locator("dd").all_inner_texts() == ["1.5", "–"]
    assert "This image could not be shown." in cards.nth(3).inner_text()
    assert cards.nth(4).locator("img, audio, blockquote, details, .note").count() == 0


@pytest.mark.browser
def test_the_keyboard_moves_through_pages_filters_and_sections(digits_page: Path, open_page):
    browser = open_page(digits_page, viewport=PHONE).page
    browser.get_by_role("link", name="How columns hang together", exact=True).focus()
    browser.keyboard.press("Enter")
    assert browser.evaluate("location.hash") == "#associations"
    browser.get_by_role("combobox", name="Kind").focus()
    browser.keyboard.press("ArrowDown")
    assert "findings" in browser.locator("#status").inner_text()
    reachable = "[...document.querySelectorAll('.scroll table.full')].every(t => t.closest('.scroll').tabIndex === 0)"
    assert browser.evaluate(reachable)


@pytest.mark.browser
def test_a_pair_of_the_confusion_table_shows_its_findings(digits_run: Path, digits_page: Path, open_page):
    pair = report.to_dict(digits_run)["confusion"]["digit"]["pairs"][0]
    browser = open_page(digits_page).page
    browser.get_by_role("link", name=f"Show {pair['given']} that is likely {pair['suggested']}").first.click()
    assert f"of {pair['count']} findings" in browser.locator("#status").inner_text()
    claims = browser.locator("#cards .claim").all_inner_texts()
    assert set(claims) == {f"{pair['given']} → {pair['suggested']}"}


@pytest.mark.browser
def test_hostile_labels_run_nothing_in_the_browser(hostile_page: Path, open_page):
    opened = open_page(hostile_page)
    opened.page.on("dialog", lambda dialog: pytest.fail(f"a label ran: {dialog.message}"))
    assert opened.complaints == []
    assert HOSTILE in opened.page.locator("#cards").inner_text()
    assert HOSTILE in opened.page.locator("#data svg.chart").first.get_attribute("aria-label")
    opened.page.get_by_role("searchbox").fill("<script>")
    assert opened.page.locator("#cards > li").count() > 0


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE, SMALL], ids=["wide", "phone", "small"])
@pytest.mark.parametrize("name", ["digits_page", "hostile_page"])
def test_nothing_runs_over_the_edge(request: pytest.FixtureRequest, open_page, scheme: str, size: dict, name: str):
    path = request.getfixturevalue(name)
    browser = open_page(path, color_scheme=scheme, viewport=size).page
    browser.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= size["width"]
    background, ink = browser.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (background, ink)]
    assert (brightness[0] > brightness[1]) == (scheme == "light")


@pytest.mark.browser
def test_without_script_the_first_findings_show(digits_page: Path, open_page):
    browser = open_page(digits_page, java_script_enabled=False).page
    assert browser.locator("#cards > li").count() == page.FIRST_PAGE
    assert "open this page with scripts on" in browser.locator("#status").inner_text()
    assert browser.locator("#filters").is_hidden()


@pytest.mark.browser
def test_structure_for_those_who_do_not_see(digits_page: Path, open_page):
    browser = open_page(digits_page).page
    assert browser.locator("h1").count() == 1
    levels = browser.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]))")
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for landmark in ("banner", "main", "contentinfo", "search"):
        assert browser.get_by_role(landmark).count() == 1
    unnamed = "[...document.querySelectorAll('svg.chart')].filter(chart => !chart.getAttribute('aria-label')).length"
    assert browser.evaluate(unnamed) == 0
    assert browser.evaluate("[...document.images].filter(image => !image.alt).length") == 0
    assert (
        browser.evaluate("[...document.querySelectorAll('input, select')].filter(field => !field.labels.length).length")
        == 0
    )
    assert browser.evaluate("[...document.querySelectorAll('table')].filter(t => !t.querySelector('th')).length") == 0


@pytest.mark.browser
def test_the_keyboard_reaches_the_report_and_the_pager(digits_page: Path, open_page):
    browser = open_page(digits_page).page
    browser.keyboard.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "Skip to the report"
    browser.keyboard.press("Enter")
    assert browser.evaluate("document.activeElement.id") == "main"
    browser.locator("#next").focus()
    browser.keyboard.press("Enter")
    assert browser.locator("#place").inner_text().startswith("Page 2 of")
    assert browser.evaluate("document.activeElement.id") == "next"


@pytest.mark.browser
def test_the_figures_can_be_saved(digits_page: Path, open_page):
    browser = open_page(digits_page).page
    with browser.expect_download() as download:
        browser.get_by_role("button", name="Save its figures as JSON").click()
    assert read_json(download.value.path())["run"]["name"] == "digits"


@pytest.mark.browser
def test_paper_shows_no_controls(digits_page: Path, open_page):
    browser = open_page(digits_page).page
    browser.emulate_media(media="print")
    assert browser.locator("#filters").is_hidden()
    assert browser.locator("#pager").is_hidden()
    assert browser.locator("#cards > li").first.is_visible()

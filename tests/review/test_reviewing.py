"""The review as people meet it: a real server, a real browser."""

import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from tests.review.served import serve
from tests.review.serving import ask, audit_digits

from labelwise.bench.review_server import serving
from labelwise.review.app import create_app
from labelwise.review.database import Database, open_database
from labelwise.review.deciding import answered, require
from labelwise.review.preparing import prepare
from labelwise.review.verdicts import history

pytestmark = pytest.mark.browser

IMAGES = Path(__file__).parents[2] / "docs" / "images"
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, str]]:
    """An audited run, ready to be reviewed, and the true digit of each row. Do not write to it."""
    run, truth = audit_digits(tmp_path_factory.mktemp("digits"))
    prepare(run, quiet=True)
    return run, truth


@pytest.fixture
def run(digits: tuple[Path, dict[int, str]], tmp_path: Path) -> Path:
    """A copy of the run to review."""
    return Path(shutil.copytree(digits[0], tmp_path / "run"))


@pytest.fixture
def truth(digits: tuple[Path, dict[int, str]]) -> dict[int, str]:
    return digits[1]


@pytest.fixture
def server(run: Path) -> Iterator[Any]:
    """A server in this process, as starting one of its own takes seconds."""
    with open_database(run) as database, here(run, database) as started:
        yield started


@pytest.fixture
def careful_server(run: Path) -> Iterator[Any]:
    """A server where two people must agree."""
    with open_database(run) as database:
        require(database, 2)
        with here(run, database) as started:
            yield started


@contextmanager
def here(run: Path, database: Database) -> Iterator[Any]:
    running = serve(create_app(run, database))
    yield SimpleNamespace(address=f"http://127.0.0.1:{running.port}")
    running.stop()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages, each for a person of its own; at the end none may have complained."""
    contexts, complaints = [], []

    def open_page(address: str, name: str | None = None, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": DESKTOP} | options)
        contexts.append(context)
        if name is not None:
            context.add_cookies([{"name": "reviewer", "value": name, "url": address}])
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith(address) or complaints.append(request.url))
        page.goto(address)
        return page

    origin = re.compile(r"^(https?://[^/]+)")

    def open_at(address: str, *arguments: Any, **options: Any) -> Any:
        page = open_page(origin.match(address)[1], *arguments, **options)  # type: ignore[index]
        if address.count("/") > 2:
            page.goto(address)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keeps what the page shows in the docs, if that was asked for."""

    def take(page: Any, name: str) -> None:
        if request.config.getoption("--screenshots"):
            page.wait_for_timeout(1200)  # counts and advice come by themselves
            with Image.open(io.BytesIO(page.screenshot())) as shown:
                shown.convert("RGB").quantize(128).save(IMAGES / f"{name}.png", optimize=True)

    return take


def number(page: Any) -> int:
    """The question that the page shows."""
    return int(page.locator(".question").get_attribute("data-question"))


def until(page: Any, holds: Callable[[], bool]) -> None:
    """Wait until this holds; in steps from outside, as the page's policy lets nobody evaluate text within it."""
    for _ in range(500):
        if holds():
            return
        page.wait_for_timeout(20)
    raise AssertionError("waited for ten seconds in vain")


def press(page: Any, *keys: str) -> None:
    """Press keys, each of which leads to another question."""
    for key in keys:
        before = page.locator(".question [name=token]").get_attribute("value")
        page.keyboard.press(key)
        until(page, lambda: page.evaluate("document.querySelector('[name=token]')?.value") != before)  # noqa: B023


@pytest.fixture
def real_server(run: Path) -> Iterator[Any]:
    """`labelwise review` as people run it."""
    with serving(run) as started:
        yield started


def test_thirty_findings_are_reviewed_by_keyboard_alone(real_server, visit, run, truth, picture):
    server = real_server
    page = visit(server.address, "Ada")
    picture(page, "review")
    said: dict[int, tuple[int, str, str | None, str | None]] = {}
    while len(said) < 30:
        asked = ask(server, f"/api/questions/{number(page)}")
        assert asked["id"] not in said
        right = truth[asked["item_id"]]
        if asked["task"] == "holes":
            right = {"0": "1", "6": "1", "9": "1", "4": "1", "8": "2"}.get(right, "0")
        likely = [each["name"] for each in asked["suggestions"]]
        key = "k" if asked["given"] == right else "t" if asked["suggested"] == right else "u"
        if key == "u" and right in likely:
            key = str(likely.index(right) + 1)
        said[asked["id"]] = (asked["item_id"], asked["task"], asked["given"], right if key != "u" else None)
        press(page, key)
    until(page, lambda: page.evaluate("document.querySelector('[data-state=decided]').textContent") == "30")
    page.goto(f"{server.address}/progress")
    picture(page, "review-progress")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").last.click()
    changes = pd.read_csv(waiting.value.path(), dtype=str)
    with open_database(run, create=False) as database:
        found = answered(database)
    assert {row["question_id"] for row in found} == set(said)
    for row in found:
        item, task, _, right = said[row["question_id"]]
        assert (row["item_id"], row["task"], row["state"]) == (item, task, "decided")
        assert row["classes"] == (() if right is None else (right,))
    mended = sum(given != right for _, _, given, right in said.values())
    assert mended >= 15
    own = changes[changes["action"] == "label"]
    assert set(own["who"]) == {"Ada"}
    assert len(own) == sum(given != right is not None for _, _, given, right in said.values())


def test_a_verdict_is_undone_to_any_depth_and_given_again(server, visit, run):
    page = visit(server.address)
    seen = []
    for key in ("k", "u", "s", "x", "k"):
        seen.append(number(page))
        press(page, key)
    for expected in reversed(seen):
        press(page, "z")
        assert number(page) == expected
    page.keyboard.press("z")
    page.get_by_text("There is nothing left to take back.").wait_for()
    assert ask(server, "/api/counts")["states"]["decided"] == 0
    assert number(page) == seen[0]
    with open_database(run, create=False) as database:
        assert [each.action for each in history(database, seen[0])] == ["keep", "undo"]


def test_a_class_is_chosen_by_typing(server, visit, run):
    page = visit(f"{server.address}/?task=digit")
    first = number(page)
    page.keyboard.press("c")
    page.wait_for_selector("#options [aria-selected=true]")
    page.keyboard.type("7")
    until(page, lambda: page.evaluate("document.querySelectorAll('#options [data-name]').length") == 1)
    page.keyboard.press("Enter")
    until(page, lambda: number(page) != first)
    second = number(page)
    page.keyboard.press("m")
    for digit in "38":
        page.keyboard.type(digit)
        page.wait_for_selector(f"#options [data-name='{digit}'][aria-selected=true]")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#picked li:text-is('{digit}')")
    page.keyboard.press("Control+Enter")
    until(page, lambda: number(page) != second)
    third = number(page)
    page.keyboard.press("e")
    page.keyboard.type("neither digit nor letter")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.type("ampersand & <b>")
    page.keyboard.press("Enter")
    until(page, lambda: number(page) != third)
    page.keyboard.press("c")
    page.keyboard.type("amper")
    page.get_by_role("option", name="ampersand & <b>").wait_for()
    page.keyboard.press("Escape")
    with open_database(run, create=False) as database:
        said = [history(database, each)[-1] for each in (first, second, third)]
    assert [(each.action, each.classes) for each in said] == [
        ("choose", ("7",)),
        ("several", ("3", "8")),
        ("new_class", ("ampersand & <b>",)),
    ]
    assert said[2].note == "neither digit nor letter"


def test_the_parent_narrows_the_list_of_classes(server, visit):
    page = visit(f"{server.address}/?task=digit")
    page.keyboard.press("c")
    page.get_by_label("Within holes").fill("2")
    until(page, lambda: page.evaluate("document.querySelectorAll('#options [data-name]').length") == 1)
    assert page.locator("#options [data-name]").get_attribute("data-name") == "8"


def test_a_selected_grid_gets_one_verdict_and_gives_it_back(server, visit, picture):
    page = visit(f"{server.address}/grid")
    page.get_by_label("Kind").select_option("label")
    page.locator(".pairs a").first.click()
    page.wait_for_load_state()
    before = ask(server, "/api/counts")["states"]["open"]
    boxes = page.locator(".thumb input")
    assert boxes.count() >= 3
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator("#chosen").text_content() == "3"
    picture(page, "review-grid")
    page.keyboard.press("t")
    page.get_by_text("(3 items)").wait_for()
    assert ask(server, "/api/counts")["states"] == {"open": before - 3, "decided": 3, "conflict": 0}
    page.keyboard.press("z")
    page.get_by_text("Taken back").wait_for()
    assert ask(server, "/api/counts")["states"]["open"] == before
    boxes.nth(0).click()
    boxes.nth(2).click(modifiers=["Shift"])
    assert page.locator("#chosen").text_content() == "3"
    page.keyboard.press("d")
    page.keyboard.press("t")
    page.get_by_text("Nothing is selected.").wait_for()
    page.keyboard.press("a")
    assert page.locator("#chosen").text_content() == str(boxes.count())


def test_two_reviewers_disagree_and_the_conflict_is_settled(careful_server, visit):
    server = careful_server
    ada, bob = visit(server.address, "Ada"), visit(server.address, "Bob")
    assert number(ada) != number(bob)  # Ada holds the first item
    asked = number(ada)
    press(ada, "k")
    ada.goto(f"{server.address}/progress")
    bob.goto(f"{server.address}/questions/{asked}")
    assert bob.locator(".history").count() == 0  # what Ada said must not sway Bob
    bob.keyboard.press("e")
    bob.keyboard.type("Clearly not <i>that</i>")
    bob.keyboard.press("Escape")
    press(bob, "t")
    ada.goto(f"{server.address}/?state=conflict")
    assert number(ada) == asked
    text = ada.locator(".history").inner_text()
    assert "Ada kept the label" in text
    assert "Bob took the suggestion" in text
    assert "Clearly not <i>that</i>" in text
    ada.keyboard.press("t")
    ada.get_by_text("No conflict is left for you").wait_for()
    assert ask(server, "/api/counts")["states"]["conflict"] == 0
    assert ask(server, f"/api/questions/{asked}")["state"] == "decided"
    ada.goto(f"{server.address}/progress")
    assert ada.get_by_role("row", name="Ada and Bob").count() == 1


def test_counts_follow_the_work_of_others(server, visit):
    watching, working = visit(server.address, "Ada"), visit(server.address, "Bob")
    press(working, "k", "k")
    until(watching, lambda: watching.evaluate("document.querySelector('[data-state=decided]').textContent") == "2")


def test_filters_narrow_the_queue_and_stay_in_the_address(server, visit):
    page = visit(server.address)
    with page.expect_response(re.compile("/stage")):
        page.get_by_label("Task").select_option("holes")
    with page.expect_response(re.compile("/stage")):
        page.get_by_label("Labelled").fill("1")
        page.keyboard.press("Enter")
    until(page, lambda: "1" in page.locator(".claim").inner_text())
    assert "task=holes" in page.url
    assert "given=1" in page.url
    for _ in range(3):
        asked = ask(server, f"/api/questions/{number(page)}")
        assert (asked["task"], asked["given"]) == ("holes", "1")
        press(page, "k")
    page.reload()
    assert page.get_by_label("Task").input_value() == "holes"
    page.get_by_label("Search").fill("scan-no such")
    page.get_by_text("Nothing is left for you here").wait_for()


def test_pictures_are_enlarged_and_zoomed(server, visit):
    page = visit(server.address)
    page.keyboard.press("i")
    zoomed = page.locator("#zoom img")
    until(page, lambda: page.evaluate("document.querySelector('#zoom img').clientWidth") > 300)
    width = zoomed.bounding_box()["width"]
    page.keyboard.press("+")
    assert zoomed.bounding_box()["width"] > 1.2 * width
    page.keyboard.press("Escape")
    assert not page.locator("#zoom").is_visible()
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_within_its_width(server, visit, picture, scheme):
    page = visit(server.address, color_scheme=scheme, **PHONE)
    if scheme == "dark":
        picture(page, "review-phone")
    for path in ("/", "/grid", "/progress", "/?state=conflict"):
        page.goto(server.address + path)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.goto(server.address)
    before = number(page)
    for name in ("Keep", "Take"):
        assert page.get_by_role("button", name=name).is_visible()
    page.get_by_role("button", name="Keep").tap()
    until(page, lambda: number(page) != before)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(map(int, re.findall(r"\d+", background))) < 200
    assert dark == (scheme == "dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_with_other_senses_out(server, visit, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(server.address, color_scheme=scheme)

    def check() -> None:
        found = Axe().run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] != "minor"] == []

    check()
    page.keyboard.press("c")
    page.wait_for_selector("#options [aria-selected=true]")
    check()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    check()
    for path in ("/grid", "/progress", "/?state=conflict"):
        page.goto(server.address + path)
        check()


def test_a_dead_server_is_told_and_nothing_is_lost(run, visit, browser):
    with serving(run) as server:
        context = browser.new_context(viewport=DESKTOP)
        page = context.new_page()
        page.goto(server.address)
        press(page, "k")
        shown = number(page)
        server.process.kill()
        server.process.wait()
        page.keyboard.press("t")
        page.get_by_text("The server does not answer; nothing was recorded.").wait_for()
        assert number(page) == shown
        context.close()
    with open_database(run, create=False) as database:
        assert len(answered(database)) == 1

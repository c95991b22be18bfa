import asyncio
import html
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from labelwise.bench.mock_runs import make_run
from labelwise.review.app import create_app
from labelwise.review.database import open_database
from labelwise.review.live import Live
from labelwise.review.preparing import prepare
from labelwise.review.queue import Filter, page
from labelwise.review.verdicts import history, record


@pytest.fixture
def database(tmp_path, url):
    """A filled review of a run whose items are kept."""
    run = make_run(tmp_path / "run", rows=80)
    prepare(run, url, sample=5, quiet=True)
    with open_database(run, url) as opened:
        yield opened


@pytest.fixture
def app(database):
    return create_app(database.run, database, reviewer="ada")


def run_alone(coroutine):
    """Run a coroutine in a thread of its own: a browser that was tested before leaves a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


class Visitor(TestClient):
    """A person's browser."""

    def __init__(self, app, name=None):
        super().__init__(app, base_url="http://localhost", cookies={"reviewer": name} if name else None)
        self.headers["X-CSRF-Token"] = self.get("/api/session").json()["csrf"]

    def part(self, method, path, **fields):
        answer = self.request(method, path, data=fields or None, headers={"HX-Request": "true"})
        assert answer.status_code == 200, answer.text
        return answer.text


def shown(page):
    """The question that a page shows, and the token of the verdict on it."""
    return int(re.search(r'data-question="(\d+)"', page)[1]), re.search(r'name="token" value="(\w+)"', page)[1]


def say(visitor, page, action, address="/verdict", **fields):
    number, token = shown(page)
    return visitor.part("POST", address, question=number, token=token, action=action, **fields)


def test_a_verdict_leads_to_the_next_question_and_an_undo_back(app, database):
    ada = Visitor(app)
    first = ada.get("/").text
    second = say(ada, first, "keep", note="sure <b>")
    assert shown(second)[0] != shown(first)[0]
    assert "Kept the label" in second
    back = ada.part("POST", "/undo")
    assert shown(back)[0] == shown(first)[0]
    assert "Taken back: kept the label" in back
    assert [each.note for each in history(database, shown(first)[0])] == ["sure <b>", ""]
    assert "nothing left to take back" in ada.part("POST", "/undo")


def test_the_same_verdict_sent_twice_counts_once(app, database):
    ada = Visitor(app)
    first = ada.get("/").text
    say(ada, first, "keep")
    say(ada, first, "keep")
    assert len(history(database, shown(first)[0])) == 1


def test_a_filter_goes_along_from_question_to_question(app):
    ada = Visitor(app)
    page = ada.get("/?task=family&kind=taxonomy").text
    for _ in range(3):
        address = html.unescape(re.search(r'hx-post="(/verdict\?[^"]*)"', page)[1])
        assert address == "/verdict?task=family&kind=taxonomy"
        page = say(ada, page, "unsure", address)
        assert ada.get(f"/api/questions/{shown(page)[0]}").json()["task"] == "family"


def test_what_the_page_knows_of_a_question_is_shown(app):
    ada = Visitor(app)
    asked = ada.get("/api/next?task=animal").json()
    page = html.unescape(ada.get(f"/questions/{asked['id']}").text)
    assert asked["findings"][0]["why"] in page
    assert "Probably wrong label" in page
    assert f"row {asked['key'].removeprefix('row ')}" in page
    assert asked["places"] == [
        {"task": "family", "given": "mammal", "suggested": asked["places"][0]["suggested"]},
        {"task": "animal", "given": asked["given"], "suggested": asked["suggested"]},
    ]
    assert asked["labels"]["family"] in page


def test_two_people_are_given_two_items_and_see_who_else_looks(app):
    ada, bob = Visitor(app), Visitor(app, "bob")
    one, other = ada.get("/api/next").json(), bob.get("/api/next").json()
    assert one["item_id"] != other["item_id"]
    assert "ada</bdi> is looking at this too" in bob.get(f"/questions/{one['id']}").text
    assert "is looking at this too" not in ada.get(f"/questions/{one['id']}").text


def test_what_others_said_is_seen_only_once_it_cannot_sway(app, database):
    database.set(opinions=2)
    ada, bob = Visitor(app), Visitor(app, "bob")
    number = ada.get("/api/next?task=animal").json()["id"]
    record(database, "bob", number, "keep", note="it barks")
    assert "it barks" in bob.get(f"/questions/{number}").text
    assert "it barks" not in ada.get(f"/questions/{number}").text
    record(database, "ada", number, "unsure")
    assert "it barks" in ada.get(f"/questions/{number}").text
    conflict = ada.get("/?state=conflict").text
    assert shown(conflict)[0] == number
    assert "Your verdict here is final" in conflict
    say(ada, conflict, "keep", "/verdict?state=conflict", final="true")
    assert ada.get(f"/api/questions/{number}").json()["state"] == "decided"


def test_many_get_one_verdict_and_lose_it_together(app):
    ada = Visitor(app)
    page = ada.get("/grid?task=animal&given=cat").text
    asked = re.findall(r'name="questions" value="(\d+)"', page)
    assert len(asked) >= 3
    token = re.search(r'name="token" value="(\w+)"', page)[1]
    after = ada.part("POST", "/bulk?task=animal&given=cat", questions=asked[:3], action="keep", token=token)
    assert "(3 items)" in after
    assert set(re.findall(r'name="questions" value="(\d+)"', after)) == set(asked[3:])
    assert "(3 items)" in ada.part("POST", "/undo", view="grid")
    assert ada.get("/api/counts").json()["states"]["decided"] == 0
    assert ada.post("/bulk", data={"action": "keep", "token": "t"}).status_code == 400


def test_pages_of_the_grid_hold_each_question_once(app):
    ada = Visitor(app)
    total = sum(ada.get("/api/counts").json()["states"].values())
    assert total > 60
    found = [re.findall(r'name="questions" value="(\d+)"', ada.get(f"/grid?offset={at}").text) for at in (0, 60)]
    assert len(set(found[0] + found[1])) == len(found[0] + found[1]) == total


def test_classes_are_found_by_typing_and_a_new_one_is_among_them(app, database):
    ada = Visitor(app)
    assert ada.get("/api/classes?task=animal&typed=o").json() == ["owl", "dog"]
    assert ada.get("/api/classes?task=animal&under=bird").json() == ["owl"]
    number = ada.get("/api/next?task=animal").json()["id"]
    record(database, "ada", number, "new_class", ["ostrich"])
    assert 'data-name="ostrich"' in ada.get("/classes?task=animal&typed=ostr").text
    assert "No class is called so" in ada.get("/classes?task=animal&typed=zebu").text
    assert ada.get("/api/classes?task=plant").status_code == 404


def test_the_end_of_the_queue_is_told(app):
    ada = Visitor(app)
    page = ada.get("/?kind=outlier").text
    while "data-question" in page:
        page = say(ada, page, "skip", "/verdict?kind=outlier")
    assert "Nothing is left for you here" in page
    assert ada.get("/api/next?kind=outlier").json() is None


def test_progress_says_what_is_left_and_who_did_what(app):
    ada = Visitor(app)
    page = ada.get("/").text
    for action in ("keep", "unsure", "skip"):
        page = say(ada, page, action)
    progress = html.unescape(ada.get("/progress").text)
    assert "too early to say" in progress
    assert "Errors left among the findings" in progress
    assert re.search(r"<bdi>ada</bdi></th><td class=\"n\">2</td>", progress)
    assert "errors left" in ada.get("/advice").text


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/nowhere", 404),
        ("/questions/99999", 404),
        ("/questions/x", 422),
        ("/?state=lost", 422),
        ("/grid?offset=-1", 422),
    ],
)
def test_what_is_not_there_is_told_on_a_page(app, path, code):
    answer = Visitor(app).get(path)
    assert answer.status_code == code
    assert "To the queue" in answer.text


def test_an_unfit_verdict_is_told_to_the_script_and_nothing_is_recorded(app, database):
    ada = Visitor(app)
    number, token = shown(ada.get("/").text)
    for fields, code in (
        ({"action": "dance"}, 400),
        ({"action": "choose"}, 400),
        ({"action": "choose:zebu"}, 400),
        ({"action": "keep", "question": 99999}, 404),
        ({"action": "keep", "note": "x" * 3000}, 422),
    ):
        data = {"question": number, "token": token} | fields
        answer = ada.post("/verdict", data=data, headers={"HX-Request": "true"})
        assert answer.status_code == code
        assert answer.json()["detail"]
    assert history(database, number) == []


def test_counts_are_sent_when_they_change_and_shared_by_all(database, monkeypatch):
    monkeypatch.setattr("labelwise.review.live.PAUSE", 0.02)
    asked = Filter(task="animal")

    async def listen():
        events = Live(database).events(asked)
        first = await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.2)
        assert not waiting.done()  # nothing has changed
        record(database, "ada", page(database, asked)[0].id, "keep")
        second = await asyncio.wait_for(waiting, 10)
        await events.aclose()
        return first, second

    first, second = run_alone(listen())
    assert (first.event, second.event) == ("counts", "counts")
    assert second.data["states"]["decided"] == first.data["states"]["decided"] + 1
    assert int(second.id) > int(first.id)


def test_live_counts_do_not_count_twice_for_two_listeners(database, monkeypatch):
    counted = []
    original = Live.counts.__globals__["counts"]
    monkeypatch.setitem(Live.counts.__globals__, "counts", lambda *given: counted.append(given) or original(*given))

    async def ask_often():
        live = Live(database)
        return await asyncio.gather(*(live.counts(Filter()) for _ in range(20)))

    assert len(set(map(repr, run_alone(ask_often())))) == 1
    assert len(counted) == 1

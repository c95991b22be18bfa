"""What the network can do to a review: real requests to the real application."""

import http.client
import json
from html.parser import HTMLParser
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from tests.review.served import Client, serve

from labelwise.audit import run_audit
from labelwise.bench.mock_runs import make_run
from labelwise.labels import read
from labelwise.review import people
from labelwise.review.app import create_app
from labelwise.review.database import open_database
from labelwise.review.people import Team, add_member, events
from labelwise.review.preparing import prepare
from labelwise.review.security import HEADERS

PASSWORD = "correct horse battery"
EVIL = "<script>evil()</script><img src=evil onerror=evil()>\"'><svg onload=evil()>"
NASTY = [
    "",
    "\0",
    "\ud800",
    EVIL,
    "x" * 5000,
    "-1",
    "0",
    "9" * 25,
    "1e9",
    "nan",
    "../../etc/passwd",
    "%",
    "' OR 1=1 --",
    "{{7*7}}",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An audit of texts whose every part is markup: ids, texts, columns, classes."""
    folder = tmp_path_factory.mktemp("evil")
    labels = np.array([f"{EVIL}{name}" for name in ("cat", "dog")])[np.arange(40) % 2]
    texts = [f"{EVIL} number {row} of a text with many words {row % 2}" for row in range(40)]
    ids = [f"{EVIL}{row}" for row in range(40)]
    pd.DataFrame({"id": ids, "text": texts, "pet": labels, f"more {EVIL}": texts}).to_csv(folder / "a.csv", index=False)
    likely = np.where((np.arange(40) % 2)[:, None] == [0, 1], 0.9, 0.1)
    likely[[4, 9, 12]] = likely[[9, 4, 9]]
    made = run_audit(read(folder / "a.csv", "pet", id="id"), run=folder / "run", probabilities=likely, quiet=True).run
    prepare(made, sample=5, quiet=True)
    return made


@pytest.fixture(scope="module")
def database(run):
    with open_database(run) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(run, database, tmp_path_factory):
    path = tmp_path_factory.mktemp("team") / "team.yaml"
    for name, role in [("ada", "admin"), ("bo", "reviewer"), ("cy", "read-only"), ("dee", "admin")]:
        add_member(path, name, role, PASSWORD)
    return create_app(run, database, Team(path))


@pytest.fixture(scope="module")
def port(app):
    running = serve(app)
    yield running.port
    running.stop()


@pytest.fixture(scope="module")
def open_port(run, database):
    running = serve(create_app(run, database))
    yield running.port
    running.stop()


def routes(app):
    """All addresses with their methods; numbers in them are 1."""
    routers = [each.original_router for each in app.routes if hasattr(each, "original_router")]
    found = [(method, each.path) for router in routers for each in router.routes for method in sorted(each.methods)]
    assert len(found) > 25
    return [(method, path.replace("{row}", "1").replace("{question_id}", "1")) for method, path in found]


def test_nobody_sees_anything_before_logging_in(app, port):
    client = Client(port)
    for method, path in routes(app):
        if path in ("/login", "/api/login"):
            continue
        client(method, path, code=401 if method != "GET" or path.startswith(("/api/", "/items/")) else 303)
        assert client.headers.get("Location", "/login").startswith("/login")
        assert "evil" not in client.text
        assert {name: client.headers[name] for name in HEADERS} == HEADERS
    client("GET", "/login")
    client("GET", "/static/review.css")


def test_every_write_needs_the_token_of_the_session(app, port, database):
    client = Client(port).log_in("ada", PASSWORD)
    writes = [
        (method, path) for method, path in routes(app) if method != "GET" and path not in ("/login", "/api/login")
    ]
    assert {"/verdict", "/api/verdicts", "/undo", "/bulk", "/logout"} <= {path for _, path in writes}
    for method, path in writes:
        client(method, path, csrf=False, code=403)
        client(method, path, csrf=False, code=403, X_CSRF_Token="x" * 64)
        client(method, path, code=403, Sec_Fetch_Site="cross-site")
    assert client("GET", "/api/session")["name"] == "ada"


def test_roles_may_what_they_may(port, database):
    verdict = {"questions": [1], "action": "keep"}
    reader, reviewer, admin = (Client(port).log_in(name, PASSWORD) for name in ("cy", "bo", "ada"))
    for client in (reader, reviewer, admin):
        for path in ("/", "/grid", "/progress", "/questions/1", "/api/questions", "/api/questions/1", "/api/standing"):
            client("GET", path)
    assert 'name="action"' not in (reader("GET", "/"), reader.text)[1]
    for path, body in [("/api/verdicts", verdict), ("/api/undo", {}), ("/api/release", {})]:
        reader.post(path, body, code=403)
    reader("GET", "/api/next", code=403)
    reader.form("/verdict", code=403, question=1, action="keep", token="t")
    reader.form("/bulk", code=403, questions=[1], action="keep", token="t")
    reviewer.post("/api/verdicts", verdict | {"final": True}, code=403)
    reviewer.form("/verdict", code=403, question=1, action="keep", token="t", final="true")
    reviewer.post("/api/verdicts", verdict)
    admin.post("/api/verdicts", verdict | {"final": True})
    said = [(each.reviewer, each.final) for each in people_of(database)]
    assert said == [("bo", False), ("ada", True)]
    logged = admin("GET", "/api/events?limit=5")
    assert (logged[0]["who"], logged[0]["what"]) == ("ada", "final verdict")
    assert admin("GET", f"/api/events?limit=1&before={logged[0]['id']}") == logged[1:2]
    reviewer("GET", "/api/events", code=403)


def test_labels_go_out_to_admins_alone_and_the_log_knows(port, database):
    reviewer, admin = (Client(port).log_in(name, PASSWORD) for name in ("bo", "ada"))
    reviewer("GET", "/export/corrected.csv", code=403)
    assert "/export/" not in (reviewer("GET", "/progress"), reviewer.text)[1]
    admin("GET", "/progress")
    assert "/export/corrected.csv" in admin.text
    assert "annotations.json" not in admin.text
    admin("GET", "/export/annotations.json", code=400)
    assert "is not a run of `labelwise audit --task boxes`" in admin.text
    admin("GET", "/export/corrected.csv?only_verdicts=true")
    assert admin.headers["Content-Disposition"] == 'attachment; filename="corrected.csv"'
    assert admin.text.splitlines()[0] == '"id","pet","given_pet"'
    assert len(admin.text.splitlines()) > 40
    for name in ("config.yaml", "..%2fconfig.yaml"):
        admin("GET", f"/export/{name}", code=(404, 422))
    newest = events(database)[0]
    assert (newest.who, newest.what, newest.detail["only_verdicts"]) == ("ada", "export", True)


def people_of(database):
    from labelwise.review.schema import verdict

    return database.rows(verdict.select().where(verdict.c.question_id == 1).order_by(verdict.c.id))


def test_a_person_who_is_taken_out_is_out(app, port):
    client = Client(port).log_in("dee", PASSWORD)
    path = app.state.review.desk.team.path
    content = path.read_text()
    try:
        path.write_text(content.replace("dee:", "eve:"))
        client("GET", "/api/session", code=401)
    finally:
        path.write_text(content)
    client("GET", "/api/session")


def test_a_login_is_refused_with_the_same_words_and_then_for_a_while(app, port, database, monkeypatch):
    client = Client(port)
    said = [client.post("/api/login", {"name": name, "password": "wrong"}, code=401) for name in ("bo", "nobody", EVIL)]
    assert said[0] == said[1] == said[2]
    client.form("/login", code=401, name=EVIL, password="wrong", back="https://evil.example")
    assert not foreign_markup(client.text)
    monkeypatch.setattr(people, "_BY_USER", 3)
    for _ in range(2):
        client.post("/api/login", {"name": "bo", "password": "wrong"}, code=401)
    told = client.post("/api/login", {"name": "bo", "password": PASSWORD}, code=401)
    assert "try again in" in told["detail"]
    assert not client.cookies
    refused = [each for each in events(database) if each.what == "login refused"]
    assert {each.detail["address"] for each in refused} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "back", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:evil()", "/\nx"]
)
def test_logging_in_leads_to_no_other_site(port, back):
    client = Client(port)
    client.form("/login", code=303, name="ada", password=PASSWORD, back=back)
    assert client.headers["Location"] == "/"


def test_bodies_are_bounded(app, port):
    client = Client(port).log_in("ada", PASSWORD)
    for method, path in routes(app):
        client(method, path, b"x" * (2**20 + 1), code=413)
    client("POST", "/api/verdicts", chunks=[b"x" * 2**16] * 17, code=413)
    client.post("/api/verdicts", {"questions": [1], "action": "keep", "note": "x" * 2001}, code=422)
    client.post("/api/verdicts", {"questions": list(range(501)), "action": "keep"}, code=422)
    client.form("/verdict", code=422, question=1, action="keep", token="t", note="x" * 2001)


class Markup(HTMLParser):
    """Finds what a page must never hold: script of its own, handlers of events, pictures from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        own = dict(attrs)
        inline = tag == "script" and not (own.get("src") or "").startswith("/static/")
        bad = [name for name in own if name.startswith("on") or name == "style"]
        links = [own[name] for name in ("href", "src", "action", "formaction") if own.get(name)]
        elsewhere = [link for link in links if not link.startswith(("/", "#", "?"))]
        if inline or bad or elsewhere or (tag == "style"):
            self.found.append((tag, attrs))


def foreign_markup(text):
    parser = Markup()
    parser.feed(text)
    return parser.found


def test_labels_notes_names_and_texts_are_never_markup(open_port, database):
    client = Client(open_port).say_name("ada")
    number = client("GET", "/api/next")["id"]
    client.post("/api/verdicts", {"questions": [number], "action": "new_class", "classes": [EVIL], "note": EVIL})
    evil = Client(open_port).say_name(quote(EVIL))
    assert evil("GET", "/api/session")["name"] == EVIL
    evil.post("/api/verdicts", {"questions": [number], "action": "unsure", "note": EVIL})
    asked = client("GET", "/api/questions?state=all&limit=100")
    addresses = ["/", "/grid", "/grid?state=all", "/progress", "/?state=conflict", "/stage", "/login", "/advice"]
    addresses += [
        f"/?text={quote(EVIL)}",
        f"/?given={quote(EVIL)}&task=pet",
        f"/classes?task=pet&typed={quote('script')}",
    ]
    addresses += [f"/classes?task={quote(EVIL)}", f"/questions/{EVIL.encode().hex()}", f"/{quote(EVIL, safe='')}"]
    addresses += [f"/questions/{each['id']}" for each in asked]
    for one in (client, evil):
        shown = 0
        for address in addresses:
            one("GET", address, code=(200, 400, 404, 422))
            assert not foreign_markup(one.text), address
            shown += "&lt;script&gt;evil()" in one.text
        assert shown > len(asked)
    client.form("/verdict", question=number, action=f"choose:{EVIL}", token="t1", note=EVIL)
    assert not foreign_markup(client.text)
    client.form("/undo")
    assert not foreign_markup(client.text)
    client.form("/bulk", questions=[number], action="choose", classes=[EVIL], token="t2")
    assert not foreign_markup(client.text)
    client.form("/reviewer", code=303, name=EVIL)


def test_json_is_never_taken_for_a_page(open_port):
    client = Client(open_port).say_name("ada")
    for path in ("/api/questions?state=all", "/api/people", "/api/session", "/api/classes?task=pet", "/api/nothing"):
        client("GET", path, code=(200, 404))
        assert client.headers.get_content_type() == "application/json"
        assert client.headers["X-Content-Type-Options"] == "nosniff"


def test_a_text_of_an_item_is_no_page(open_port):
    client = Client(open_port)
    (first, *_) = [each for each in client("GET", "/api/questions?state=all") if each["item_id"] == 4]
    client("GET", f"/items/{first['item_id']}/content", code=(200, 404))
    assert client.headers.get_content_type() in ("text/plain", "application/octet-stream", "application/json")


@pytest.mark.parametrize(
    "path",
    [
        "/items/../../run/config.yaml",
        "/items/..%2f..%2fconfig.yaml/content",
        "/items/%2e%2e/content",
        "/items/1/content/../../../review.sqlite",
        "/items/1%00/content",
        "/items/-1/content",
        "/items/1.5/content",
        "/items/99999999999999999999999/content",
        "/items/C:%5Cwindows/content",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/people.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static//etc/passwd",
        "/static/....//app.py",
        "/static/%252e%252e/app.py",
        "/static/\\..\\app.py",
        "/static/review.css%00.png",
        "/static",
        "/static/",
        "//etc/passwd",
        "/review.sqlite",
        "/config.yaml",
        "/%2e%2e/config.yaml",
    ],
)
def test_no_path_leads_to_a_file(open_port, path):
    client = Client(open_port)
    client("GET", path, code=(307, 400, 404, 405, 422))
    assert not any(word in client.text for word in ("import ", "root:", "SQLite format", "source:", "parents:"))


def test_no_input_to_a_page_breaks_it(tmp_path, url):
    run = make_run(tmp_path / "run")
    prepare(run, url, sample=5, quiet=True)
    with open_database(run, url) as opened:
        running = serve(create_app(run, opened))
        try:
            for value in NASTY:
                throw(value, Client(running.port).say_name("ada"))
        finally:
            running.stop()


def throw(value, client):
    """Give a page this value in every place that takes one."""
    fine = (200, 303, 400, 404, 422)
    text = quote(value.encode("utf-8", "surrogatepass"))
    for name in ("task", "kind", "given", "suggested", "annotator", "text", "state", "offset"):
        for path in ("/", "/stage", "/grid", "/api/counts"):
            client("GET", f"{path}?{name}={text}", code=fine)
    for path in (f"/questions/{text}", f"/items/{text}/content", f"/login?back={text}", f"/{text}"):
        client("GET", path, code=(*fine, 307, 405))
    for name in ("task", "typed", "under", "question"):
        client("GET", f"/classes?task=animal&{name}={text}", code=fine)
    good = {"question": "1", "action": "keep", "token": "t", "note": "", "classes": "x", "final": "false"}
    for name in good:
        body = "&".join(f"{each}={text if each == name else good[each]}" for each in good)
        client("POST", "/verdict", body, code=fine, Content_Type="application/x-www-form-urlencoded")
        body = body.replace("question=", "questions=")
        client("POST", "/bulk", body, code=fine, Content_Type="application/x-www-form-urlencoded")
        undo = body.replace("token=t", f"token={text}")
        client("POST", "/undo", undo, code=fine, Content_Type="application/x-www-form-urlencoded")
    client("POST", "/reviewer", f"name={text}", code=fine, Content_Type="application/x-www-form-urlencoded")
    client(
        "POST",
        "/login",
        f"name={text}&password={text}",
        code=(*fine, 401),
        Content_Type="application/x-www-form-urlencoded",
    )
    for body in (
        value.encode("utf-8", "surrogatepass"),
        json.dumps([value]),
        json.dumps({"questions": [1], "action": value}),
    ):
        client("POST", "/api/verdicts", body, code=(400, 422), Content_Type="application/json")
    client("GET", "/", code=fine, Cookie=f"reviewer={text}")


def test_live_counts_come_at_once_and_end_with_their_reader(open_port):
    for _ in range(3):
        connection = http.client.HTTPConnection("127.0.0.1", open_port, timeout=30)
        connection.request("GET", "/api/live")
        answer = connection.getresponse()
        assert answer.headers.get_content_type() == "text/event-stream"
        assert answer.headers["Cache-Control"] in ("no-cache", "no-store")
        assert b"counts" in answer.readline() + answer.readline()
        connection.close()
    assert Client(open_port)("GET", "/api/counts")["states"]

"""Real requests to a real server around an application of ten lines."""

import pytest
from fastapi import Depends, FastAPI, Request, Response
from tests.review.served import Client, serve

from labelwise.bench.mock_runs import make_run
from labelwise.review.database import open_database
from labelwise.review.filling import fill
from labelwise.review.people import Desk, LoginRefused, Person, Team, add_member
from labelwise.review.security import (
    HEADERS,
    Guard,
    admin,
    check_host,
    is_loopback,
    log_in,
    log_out,
    reviewer,
    tls_advice,
    viewer,
)

PASSWORD = "correct horse battery"


def application(desk: Desk) -> FastAPI:
    app = FastAPI()
    app.add_middleware(Guard, desk=desk, most_bytes=10_000)

    @app.post("/api/login")
    def enter(request: Request, response: Response, who: dict[str, str]) -> dict[str, str]:
        try:
            return {"csrf": log_in(request, response, who["name"], who["password"])}
        except LoginRefused as error:
            response.status_code = 401
            return {"detail": str(error)}

    @app.post("/logout")
    def leave(request: Request, response: Response) -> None:
        log_out(request, response)

    @app.get("/look")
    def look(person: Person = Depends(viewer)) -> str:  # noqa: B008
        return person.name

    @app.post("/say")
    async def say(request: Request, person: Person = Depends(reviewer)) -> dict[str, object]:  # noqa: B008
        return {"who": person.name, "bytes": len(await request.body())}

    @app.delete("/rule")
    def rule(person: Person = Depends(admin)) -> str:  # noqa: B008
        return person.role

    @app.get("/api/session")
    def who_am_i(person: Person = Depends(viewer)) -> dict[str, str]:  # noqa: B008
        return {"csrf": person.csrf}

    @app.get("/kept")
    def kept(response: Response) -> None:
        response.headers["Cache-Control"] = "private, max-age=60"

    return app


@pytest.fixture(scope="module")
def review(tmp_path_factory):
    with open_database(make_run(tmp_path_factory.mktemp("guarded") / "run")) as opened:
        fill(opened, sample=5)
        yield opened


@pytest.fixture(scope="module")
def team_port(review, tmp_path_factory):
    path = tmp_path_factory.mktemp("team") / "team.yaml"
    for name, role in [("ada", "admin"), ("bo", "reviewer"), ("cy", "read-only")]:
        add_member(path, name, role, PASSWORD)
    running = serve(application(Desk(review, Team(path))))
    yield running.port
    running.stop()


@pytest.fixture(scope="module")
def open_port(review):
    running = serve(application(Desk(review)))
    yield running.port
    running.stop()


def test_every_answer_carries_the_headers(team_port):
    client = Client(team_port)
    for request in [("GET", "/kept", None, 200), ("GET", "/nothing", None, 404), ("POST", "/say", None, 401)]:
        client(*request)
        assert {name: client.headers[name] for name in HEADERS} == HEADERS
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert client.headers["Cache-Control"] == "no-store"
    client("GET", "/kept")
    assert client.headers["Cache-Control"] == "private, max-age=60"


@pytest.mark.parametrize(
    ("name", "codes"), [("ada", (200, 200, 200)), ("bo", (200, 200, 403)), ("cy", (200, 403, 403))]
)
def test_roles_may_what_they_may(team_port, name, codes):
    client = Client(team_port)
    requests = [("GET", "/look"), ("POST", "/say"), ("DELETE", "/rule")]
    for method, path in requests:
        client(method, path, code=401)
    client.log_in(name, PASSWORD)
    for (method, path), code in zip(requests, codes, strict=True):
        client(method, path, code=code)


def test_the_cookie_is_for_this_site_and_no_script(team_port):
    client = Client(team_port).log_in("ada", PASSWORD)
    assert "HttpOnly" in client.set_cookie
    assert "SameSite=strict" in client.set_cookie
    assert "Path=/" in client.set_cookie
    assert "Secure" not in client.set_cookie
    client.log_in("ada", PASSWORD, X_Forwarded_Proto="https")  # as a server with TLS on this machine says
    assert "Secure" in client.set_cookie
    assert client.set_cookie.startswith("__Host-labelwise-")


def test_logging_out_ends_the_session_for_all_who_hold_it(team_port):
    client = Client(team_port).log_in("ada", PASSWORD)
    cookies = dict(client.cookies)
    client("POST", "/logout")
    client.cookies = cookies
    client("GET", "/look", code=401)


def test_a_wrong_password_gets_no_session(team_port):
    client = Client(team_port)
    client.post("/api/login", {"name": "cy", "password": "wrong"}, code=401)
    assert not client.cookies


def test_a_write_needs_the_token_of_its_session(team_port):
    client, other = Client(team_port).log_in("ada", PASSWORD), Client(team_port).log_in("bo", PASSWORD)
    client("POST", "/say", csrf=False, code=403)
    client("POST", "/say", csrf=False, code=403, X_CSRF_Token=other.csrf)
    client("POST", "/say", csrf=False, code=403, X_CSRF_Token="é")
    client("DELETE", "/rule", csrf=False, code=403)
    client("POST", "/say", X_CSRF_Token=client.csrf)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"a=b&csrf={client.csrf}"
    assert client("POST", "/say", body, csrf=False, **form) == {"who": "ada", "bytes": len(body)}
    client("POST", "/say", "csrf=wrong", csrf=False, code=403, **form)
    client("POST", "/say", body, csrf=False, code=403, Content_Type="text/plain")


def test_pages_of_other_sites_cannot_write(team_port, open_port):
    for client in [Client(team_port).log_in("ada", PASSWORD), Client(open_port).say_name("ada")]:
        for headers in [
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ]:
            client("POST", "/say", code=403, **headers)
            client("POST", "/api/login", code=403, **headers)  # nor log people in as somebody else
        client("POST", "/say", Origin=f"http://127.0.0.1:{client.port}")
        client("POST", "/say", Sec_Fetch_Site="same-origin", Origin="https://name.of.a.proxy")


def test_without_a_team_other_names_than_loopback_are_refused(team_port, open_port):
    client = Client(open_port)
    for host in ("evil.example", f"evil.example:{open_port}", "127.0.0.1.evil.example", "10.0.0.1", "[", ""):
        client("GET", "/kept", code=400, Host=host)
    for host in (f"127.0.0.1:{open_port}", "localhost", "LOCALHOST:1", "[::1]:8000"):
        client("GET", "/kept", Host=host)
    Client(team_port)("GET", "/kept", Host="review.example.org")


def test_without_a_team_a_name_is_enough_but_not_to_write(open_port):
    client = Client(open_port)
    assert client("GET", "/look") == "reviewer"
    client("POST", "/say", code=403)
    client.post("/api/login", {"name": "ada", "password": "x"}, code=401)
    assert client.say_name("Bo")("GET", "/look") == "Bo"
    client("DELETE", "/rule")


def test_a_body_is_bounded_however_it_is_sent(team_port):
    client = Client(team_port).log_in("ada", PASSWORD)
    assert client("POST", "/say", b"x" * 10_000)["bytes"] == 10_000
    assert client("POST", "/say", chunks=[b"x" * 1000] * 10)["bytes"] == 10_000
    client("POST", "/say", b"x" * 10_001, code=413)
    client("POST", "/say", chunks=[b"x" * 1000] * 11, code=413)
    client("POST", "/say", code=413, Content_Length="1000000000000")
    client("POST", "/api/login", b"x" * 10_001, code=413)  # also of those who are not logged in
    client("GET", "/look", b"x" * 10_001, code=413)
    assert client("POST", "/say", b"still there")["bytes"] == 11


def test_a_broken_cookie_is_none(team_port):
    client = Client(team_port)
    for cookie in ("=;;;", "labelwise-x", 'a="\x7f', "labelwise-0=\xff"):
        client("GET", "/look", code=401, Cookie=cookie)


def test_other_machines_need_a_team(tmp_path):
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        check_host(host, None)
        assert is_loopback(host)
    for host in ("0.0.0.0", "::", "10.0.0.1", "review.example.org", "localhost.evil.example"):
        with pytest.raises(ValueError, match=r"--team team\.yaml"):
            check_host(host, None)
        check_host(host, tmp_path / "team.yaml")


def test_the_advice_on_tls_names_the_port():
    assert "reverse_proxy 127.0.0.1:8123" in tls_advice(8123)
    assert "proxy_pass http://127.0.0.1:8123;" in tls_advice(8123)

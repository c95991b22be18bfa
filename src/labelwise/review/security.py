"""What stands between the network and the review: size limits, hosts, sessions, tokens, headers, roles."""

import asyncio
import hmac
import ipaddress
from collections.abc import Callable
from os import PathLike
from urllib.parse import parse_qsl, urlsplit

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labelwise.review.people import Desk, Person

MOST_BYTES = 2**20
"""Size of a request's body; bulk verdicts and notes are well below."""

LOGIN_PATHS = ("/login", "/api/login")
"""Where one may write before one is logged in."""

NAME_COOKIE = "reviewer"
"""Holds the name, quoted as in a URL, where there is no team."""

CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_PATIENCE = 30  # seconds for a request's body to come
_SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """ASGI middleware around the whole application; nothing inside runs for a request that it refuses.

    It reads the body of each request, up to `most_bytes`, however it is sent; refuses other hosts than loopback where
    there is no team (or any web page could reach the review by a name that it makes point to this machine); finds out
    who is there (`request.state.person`, a `Person` or None; `request.state.desk`); lets nobody write who is not logged
    in, or whose request comes from another site's page or lacks the token of the session, in the header
    `X-CSRF-Token` or the form field `csrf`; and sends `HEADERS` along with every answer, and "no-store" where nothing
    is said of caching.
    """

    def __init__(self, app: ASGIApp, desk: Desk, most_bytes: int = MOST_BYTES):
        self.app, self.desk, self.most_bytes = app, desk, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        headers = Headers(scope=scope)
        if self.desk.team is None and not is_loopback(_host(headers.get("host", ""))):
            refusal: Response | None = _refuse(400, "this review is open to this machine alone; call it localhost")
        else:
            body, refusal = await self._body(headers, receive)
        if refusal is None:
            token = cookie_parser(headers.get("cookie", "")).get(cookie_name(self.desk, scope["scheme"]))
            known = token or self.desk.team is None
            person = await run_in_threadpool(self.desk.person, token or "") if known else None
            scope.setdefault("state", {}).update(person=person, desk=self.desk)
            if scope["method"] not in _SAFE:
                refusal = _write_refusal(scope["path"], headers, body, person)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return

        given = False

        async def receive_again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, receive_again, send_with_headers)

    async def _body(self, headers: Headers, receive: Receive) -> tuple[bytes, Response | None]:
        too_large = _refuse(413, f"a request has at most {self.most_bytes} bytes")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 15 or int(length) > self.most_bytes:
            return b"", too_large
        body = bytearray()
        try:
            async with asyncio.timeout(_PATIENCE):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return b"", _refuse(400, "the request was broken off")
                    body += message.get("body", b"")
                    if len(body) > self.most_bytes:
                        return b"", too_large
                    if not message.get("more_body"):
                        return bytes(body), None
        except TimeoutError:
            return b"", _refuse(408, "the request took too long to come")


def _write_refusal(path: str, headers: Headers, body: bytes, person: Person | None) -> Response | None:
    """Why a write is refused; None if it is not."""
    if _from_elsewhere(headers):
        return _refuse(403, "this request comes from a page of another site")
    if path in LOGIN_PATHS:
        return None
    if person is None:
        return _refuse(401, "log in first")
    token = headers.get(CSRF_HEADER) or _field(headers, body)
    right = hmac.compare_digest(token.encode(), person.csrf.encode())
    return None if right else _refuse(403, "the page is out of date; load it again")


def _from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that another site's page sent this; other programs say nothing of it."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")


def _field(headers: Headers, body: bytes) -> str:
    if not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return ""
    return dict(parse_qsl(body.decode("utf-8", "replace"))).get(CSRF_FIELD, "")


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _refuse(status: int, why: str) -> Response:
    return JSONResponse({"detail": why}, status)


def cookie_name(desk: Desk, scheme: str) -> str:
    """Name of the cookie that says who one is; with a team of this review alone, as cookies do not tell ports apart."""
    if desk.team is None:
        return NAME_COOKIE
    own = f"labelwise-{desk.database.settings['fingerprint'][:8]}"
    return f"__Host-{own}" if scheme == "https" else own


def log_in(request: Request, response: Response, name: str, password: str) -> str:
    """Open a session and let `response` set its cookie; gives the session's CSRF token.

    Raises as `Desk.enter` does.
    """
    desk: Desk = request.state.desk
    token = desk.enter(name, password, request.client.host if request.client else "")
    secure = request.scope["scheme"] == "https"
    response.set_cookie(
        cookie_name(desk, request.scope["scheme"]), token, path="/", secure=secure, httponly=True, samesite="strict"
    )
    person = desk.person(token)
    assert person is not None
    return person.csrf


def log_out(request: Request, response: Response) -> None:
    """End the session of this request, if it has one, and let `response` clear its cookie."""
    desk: Desk = request.state.desk
    name = cookie_name(desk, request.scope["scheme"])
    token = request.cookies.get(name)
    if token:
        desk.leave(token)
    response.delete_cookie(name, path="/", secure=request.scope["scheme"] == "https", httponly=True, samesite="strict")


def needs(role: str) -> Callable[[Request], Person]:
    """A FastAPI dependency that gives the `Person`, and answers 401 to nobody and 403 to who has a lower role."""

    def person(request: Request) -> Person:
        found: Person | None = request.state.person
        if found is None:
            raise HTTPException(401, "log in first")
        if not found.may(role):
            raise HTTPException(403, f"only the role {role} may do this; yours is {found.role}")
        return found

    return person


viewer, reviewer, admin = needs("read-only"), needs("reviewer"), needs("admin")


def check_host(host: str, team: str | PathLike[str] | None) -> None:
    """Raise `ValueError` if the review would be open to other machines without a team file."""
    if team is None and not is_loopback(host):
        raise ValueError(
            f"--host {host} opens the review to other machines, where people must log in: make a team file with "
            "`labelwise team team.yaml NAME --role admin` and give --team team.yaml; or leave out --host"
        )


def is_loopback(host: str) -> bool:
    """Whether this address or name is the machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_advice(port: int) -> str:
    """How to put TLS in front, for those who open a review to other machines: lines for Caddy, and for nginx."""
    return f"""\
Passwords and labels travel unencrypted. Leave out --host, keep --team, and put a server with TLS in front, on this
machine. With Caddy, which gets the certificate by itself:

    review.example.org {{
        reverse_proxy 127.0.0.1:{port}
    }}

With nginx:

    server {{
        listen 443 ssl;
        server_name review.example.org;
        ssl_certificate /etc/ssl/review.pem;
        ssl_certificate_key /etc/ssl/review.key;
        location / {{
            proxy_pass http://127.0.0.1:{port};
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_buffering off;
        }}
    }}
"""

"""A real server for the tests of a review, and requests to it."""

import contextlib
import http.client
import json
import socket
import threading
import time
from types import SimpleNamespace
from urllib.parse import urlencode

import uvicorn


class Client:
    """A browser's memory of cookies and of the token for writes, and nothing else of it."""

    def __init__(self, port):
        self.port, self.cookies, self.csrf = port, {}, None

    def __call__(self, method, path, body=None, code=200, csrf=True, chunks=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            headers.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if csrf and self.csrf and method != "GET":
            headers.setdefault("X-CSRF-Token", self.csrf)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before all was sent
            connection.request(method, path, iter(chunks) if chunks is not None else body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        codes = code if isinstance(code, tuple) else (code,)
        assert answer.status in codes, (answer.status, path, content)
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, value = cookie.split(";")[0].split("=", 1)
            self.cookies[name] = value
        self.set_cookie = answer.headers.get("Set-Cookie", "")
        self.headers, self.text = answer.headers, content.decode("utf-8", "replace")
        return json.loads(content) if content and answer.headers.get_content_type() == "application/json" else None

    def post(self, path, content, code=200, **headers):
        return self("POST", path, json.dumps(content).encode(), code, Content_Type="application/json", **headers)

    def form(self, path, code=200, **fields):
        return self("POST", path, urlencode(fields, doseq=True), code, Content_Type="application/x-www-form-urlencoded")

    def say_name(self, name):
        self.cookies["reviewer"] = name
        self.csrf = self("GET", "/api/session")["csrf"]
        return self

    def log_in(self, name, password, **headers):
        self.csrf = self.post("/api/login", {"name": name, "password": password}, **headers)["csrf"]
        return self


def serve(app):
    """A running server: `port`, and `stop()`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)

    def stop():
        server.should_exit = True
        thread.join(60)

    return SimpleNamespace(port=port, stop=stop)

import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from labelwise.labels import data_path, fetch_data, known_data
from labelwise.labels.data import PUBLIC, PublicFile
from labelwise.labels.readers import BUNDLED

CONTENT = b"a,b\n1,2\n" * 100_000


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    own, cache = tmp_path / "own", tmp_path / "cache"
    (own / "birds").mkdir(parents=True)
    (own / "birds" / "README.md").write_text("\n# Birds of the lake\n\nMore.\n")
    (own / "birds" / "birds.csv").write_text("a\n1\n")
    monkeypatch.setenv("LABELWISE_DATA", str(own))
    monkeypatch.setenv("LABELWISE_CACHE", str(cache))
    return own, cache


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/lost.csv":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000] if self.path == "/half.csv" else CONTENT)

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def public(url, content=CONTENT):
    return {"frogs": PublicFile(url, hashlib.sha256(content).hexdigest(), len(content), "frogs", "free for all")}


def test_known_data_are_listed_with_where_they_are(places):
    found = {each["name"]: each for each in known_data()}
    assert set(found) == {*BUNDLED, "birds", *PUBLIC}
    assert found["iris"]["where"] == "bundled"
    assert found["birds"] == {
        "name": "birds",
        "where": str(places[0] / "birds"),
        "about": "Birds of the lake",
        "bytes": sum(file.stat().st_size for file in (places[0] / "birds").iterdir()),
    }
    assert found["mnist"]["where"] == "to be fetched"


def test_paths_by_name(places):
    assert data_path("birds") == places[0] / "birds"
    for name, words in (("brids", "did you mean 'birds'"), ("iris", "comes with"), ("mnist", "data fetch mnist")):
        with pytest.raises(ValueError, match=words):
            data_path(name)


def test_a_file_is_fetched_once_with_its_terms(places, server, capsys):
    path = fetch_data("frogs", public=public(f"{server}/frogs.csv"))
    assert path == places[1] / "data" / "frogs" / "frogs.csv"
    assert path.read_bytes() == CONTENT
    captured = capsys.readouterr()
    assert "free for all" in captured.err
    assert captured.out == ""
    assert fetch_data("frogs", quiet=True, public=public("https://nowhere.invalid/frogs.csv")) == path
    assert data_path("frogs") == path.parent
    assert "frogs" in [each["name"] for each in known_data()]
    assert capsys.readouterr().err == ""


def test_a_folder_may_be_named(tmp_path, server):
    path = fetch_data("frogs", tmp_path / "here", quiet=True, public=public(f"{server}/frogs.csv"))
    assert path == tmp_path / "here" / "frogs.csv"


@pytest.mark.parametrize(
    ("page", "content", "words"),
    [
        ("frogs.csv", b"other", "sent other content than expected.*nothing was kept"),
        ("half.csv", CONTENT, "frogs|half"),
        ("lost.csv", CONTENT, "lost.csv cannot be reached.*Not Found"),
    ],
)
def test_what_fails_leaves_nothing_behind(places, server, page, content, words):
    with pytest.raises(ValueError, match=words):
        fetch_data("frogs", quiet=True, public=public(f"{server}/{page}", content))
    assert [path for path in places[1].rglob("*") if path.is_file()] == []
    assert "frogs" not in {each["name"] for each in known_data()}  # though its folder was made


def test_without_a_connection_the_way_by_hand_is_told(server):
    port = int(server.rsplit(":", 1)[1])
    dead = "http://127.0.0.1:1/frogs.csv" if port != 1 else server
    with pytest.raises(ValueError, match=r"cannot be reached .* put the file at .*frogs\.csv by hand"):
        fetch_data("frogs", quiet=True, public=public(dead))


def test_only_safe_addresses_are_fetched_from():
    for url in ("http://example.com/frogs.csv", "file:///etc/passwd", "ftp://example.com/frogs.csv"):
        with pytest.raises(ValueError, match="over https only"):
            fetch_data("frogs", quiet=True, public=public(url))


def test_names_that_cannot_be_fetched():
    with pytest.raises(ValueError, match="did you mean 'mnist'"):
        fetch_data("mnst")
    with pytest.raises(ValueError, match="at hand already"):
        fetch_data("iris")


def test_public_files_are_fit_to_fetch():
    for file in PUBLIC.values():
        assert file.url.startswith("https://")
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.terms
        assert Path(file.url).suffix in (".csv", ".npz", ".zip")

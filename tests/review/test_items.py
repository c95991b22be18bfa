import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from starlette.testclient import TestClient

from labelwise.bench.mock_runs import make_run
from labelwise.labels.readers.files import wav_bytes
from labelwise.review.app import create_app
from labelwise.review.content import CONTENT, SCHEMA
from labelwise.review.database import open_database
from labelwise.review.preparing import prepare


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 5)).save(buffer, "PNG")
    return buffer.getvalue()


SOUND = wav_bytes(np.sin(np.arange(8000) / 9), 8000)
ITEMS = [
    {"kind": "image", "content": png(), "width": 9, "height": 5},
    {"kind": "audio", "content": SOUND},
    {"kind": "text", "content": b"<script>alert(1)</script>"},
    {"kind": "row", "cells": '{"a": "<b>", "c": null}'},
    {"kind": "none"},
]


@pytest.fixture
def client(tmp_path):
    run = make_run(tmp_path / "run")
    prepare(run, sample=5, quiet=True)
    facts = (run / CONTENT).read_bytes()
    assert facts
    schema = SCHEMA.with_metadata(pa.ipc.open_file(str(run / CONTENT)).schema.metadata)
    rows = [{"example": row, "key": f"k{row}", "labels": "{}"} | item for row, item in enumerate(ITEMS)]
    with pa.ipc.new_file(str(run / CONTENT), schema) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    with open_database(run) as database:
        yield TestClient(create_app(run, database), base_url="http://localhost")


def test_pictures_sounds_and_texts_are_served_by_number(client):
    picture = client.get("/items/0/content")
    assert (picture.content, picture.headers["content-type"]) == (png(), "image/png")
    assert client.get("/items/0/thumbnail").content == png()
    assert client.get("/items/1/content").headers["content-type"] == "audio/wav"
    assert client.get("/items/1/spectrogram").headers["content-type"] == "image/png"
    assert client.get("/items/2/content").headers["content-type"].startswith("text/plain")
    assert "private" in picture.headers["cache-control"]
    assert picture.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["3/content", "4/content", "1/thumbnail", "2/thumbnail", "0/spectrogram", "77/content", "77/spectrogram"]
)
def test_what_an_item_has_not_is_not_there(client, path):
    assert client.get(f"/items/{path}").status_code == 404


@pytest.mark.parametrize(
    ("asked", "code", "part"),
    [
        ("bytes=0-", 206, slice(None)),
        ("bytes=44-99", 206, slice(44, 100)),
        ("bytes=100-9999999", 206, slice(100, None)),
        ("bytes=9999999-", 416, slice(0, 0)),
        ("bytes=99-44", 416, slice(0, 0)),
        ("bytes=-5", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
    ],
)
def test_a_player_gets_the_part_it_asks_for(client, asked, code, part):
    answer = client.get("/items/1/content", headers={"Range": asked})
    assert answer.status_code == code
    assert answer.content == SOUND[part]
    if code == 206:
        start = part.start or 0
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(answer.content) - 1}/{len(SOUND)}"


def test_the_facts_of_an_item_come_as_json(client):
    assert client.get("/api/items/3").json()["cells"] == {"a": "<b>", "c": None}
    assert client.get("/api/items/2").json()["text"] == "<script>alert(1)</script>"
    assert client.get("/api/items/99").status_code == 404

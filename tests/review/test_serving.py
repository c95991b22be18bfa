"""A real server under many findings."""

import json
import re
import statistics
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest
from tests.review.samples import CLASSES, make_run, say
from tests.review.serving import serving


@pytest.mark.slow
def test_a_hundred_thousand_findings_are_served_at_once_from_little_memory(tmp_path):
    rows = 100_000
    scores = np.random.default_rng(0).random(rows)
    findings = [
        say(row, "animal", "label", float(score), CLASSES["animal"][row % 4], CLASSES["animal"][(row + 1) % 4])
        for row, score in enumerate(scores)
        if row % 8 != 7
    ]
    findings += [say(row, "family", "taxonomy", 0.5, "mammal", "bird") for row in range(rows // 8)]
    run = make_run(tmp_path / "run", rows, findings)
    (run / "probabilities").mkdir()
    np.save(run / "probabilities" / "animal.npy", np.full((2, rows, 4), 0.25, np.float32))
    with serving(run) as server:
        client = httpx2.Client(base_url=server.address, timeout=60)
        started = time.perf_counter()
        page = client.get("/").text
        first = time.perf_counter() - started
        headers = {"X-CSRF-Token": client.get("/api/session").json()["csrf"], "HX-Request": "true"}
        times = []
        for _ in range(50):
            fields = {name: re.search(rf'name="{name}" value="(\w+)"', page)[1] for name in ("question", "token")}
            started = time.perf_counter()
            page = client.post("/verdict", data=fields | {"action": "keep"}, headers=headers).raise_for_status().text
            times.append(time.perf_counter() - started)
        for path in ("/grid", "/progress", "/stage?text=row+99999", "/api/counts?text=9", "/advice"):
            client.get(path).raise_for_status()
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
    memory = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
    measured = {"first_ms": 1000 * first, "next_ms": 1000 * statistics.median(times), "memory_mib": memory}
    print(json.dumps({name: round(value, 1) for name, value in measured.items()}))
    assert "torch" not in loaded
    assert "sklearn" not in loaded
    assert memory < 300
    # The aims are 200 and 50 ms; the machine may be busy with other things.
    assert first < 2
    assert statistics.median(times) < 0.5

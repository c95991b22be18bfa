import json

import numpy as np
import pytest

from labelwise import bench
from labelwise.audit import confident_joint, find_label_issues, label_quality
from labelwise.bench import audit_speed
from labelwise.bench.audit_speed import Case, passes, sample

TINY = [Case(300, 4), Case(200, 7)]


def test_labels_are_wrong_as_planned_and_probabilities_are_sure():
    labels, probs = sample(Case(20_000, 10), 0)
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    agree = (probs.argmax(axis=1) == labels).mean()
    assert agree == pytest.approx(0.85 + 0.015, abs=0.02)
    np.testing.assert_array_equal(sample(Case(20_000, 10), 0)[1], probs)


def test_all_ways_of_the_first_pass_give_the_same():
    labels, probs = sample(Case(500, 6), 1)
    first, *others = (way(labels, probs) for way in passes().values())
    assert others
    for columns in others:
        for one, other in zip(columns, first, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_tiny_run_alone(monkeypatch):
    monkeypatch.setattr(audit_speed, "peer", lambda: None)
    result = audit_speed.run(TINY, turns=2, quiet=True)
    json.dumps(result, allow_nan=False)
    cases, ways = bench.tables(result)
    assert [row[:3] for row in cases[2]] == [
        [case.rows, case.classes, job] for case in TINY for job in ("find and rank", "rank", "joint")
    ]
    assert all(row[3] > 0 and row[5] > 0 and row[4] is row[6] is row[7] is None for row in cases[2])
    assert [row[0] for row in ways[2]][:2] == ["NumPy in blocks", "torch"]


@pytest.mark.data
def test_a_tiny_run_beside_a_peer(monkeypatch):
    """Of a peer that is ourselves."""
    peer = {
        "find and rank": lambda labels, probs, score, jobs: find_label_issues(labels, probs, rank_by=score),
        "flags": find_label_issues,
        "rank": label_quality,
        "joint": confident_joint,
    }
    monkeypatch.setattr(audit_speed, "peer", lambda: peer)
    monkeypatch.setattr(audit_speed, "version", lambda name: "2.9")
    result = audit_speed.run(TINY[:1], turns=1, quiet=True)
    json.dumps(result, allow_nan=False)
    cases, _, same = bench.tables(result)
    assert all(row[4] > 0 and row[6] > 0 for row in cases[2])
    assert [row[7] for row in cases[2]] == [0, None, None]
    assert len(same[2]) == 3 * 7
    assert all(row[3:] == [0, 0, 0] for row in same[2])
    assert result["versions"]["cleanlab"] == "2.9"

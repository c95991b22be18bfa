import numpy as np
import pytest
import torch

from labelwise.bench.detectors import (
    COMBINED,
    TASK,
    Said,
    by_confident_learning,
    by_margin,
    by_vote,
    combine,
    draw_verified,
    fit,
    gain_table,
    hit_rate_at,
    judge,
    protocol_table,
)
from labelwise.methods import Plan

PLAN = Plan(epochs=5, batch_size=32, width=16)


@pytest.fixture(scope="module")
def blobs():
    """Features, given and true classes of three well separated clouds, one label in ten wrong."""
    generator = np.random.default_rng(0)
    clean = np.arange(300) % 3
    features = 3 * np.eye(3)[clean] + generator.normal(0, 0.5, (300, 3))
    given = clean.copy()
    given[:30] = (clean[:30] + 1) % 3
    return torch.from_numpy(features.astype(np.float32)), given, clean


def scored(wrong, noise, seed=0):
    """A detector whose scores tell wrong rows from right ones, the worse the more noise."""
    score = wrong + np.random.default_rng(seed).normal(0, noise, len(wrong))
    return Said(score > 0.5, score, np.zeros(len(wrong), np.int64))


def test_confident_learning_and_the_vote_say_what_the_audit_says(blobs):
    _, given, clean = blobs
    sure = 0.8 * np.eye(3)[clean] + 0.2 / 3
    for said in (by_confident_learning(given, sure), by_vote(given, np.stack([sure, sure]))):
        assert (said.flags == (given != clean)).all()
        assert said.score[:30].min() > said.score[30:].max()
        assert (said.suggestion == clean).all()


def test_training_notes_the_rows_that_it_saw(blobs):
    features, given, _ = blobs
    method = fit(features, given, 3, np.arange(200), PLAN, seed=0)
    assert len(method.seen) == PLAN.epochs
    for page in method.seen:
        assert page.shape == (300, 3)
        assert page[:200].any(dim=1).all()
        assert not page[200:].any()
    assert (method(features)[TASK].argmax(1).numpy() == given)[200:].mean() > 0.9


def test_margins_tell_wrong_labels(blobs):
    features, given, clean = blobs
    plan = Plan(epochs=20, batch_size=32, width=16)
    said = by_margin(features, given, plan, seed=0)
    assert np.isfinite(said.score).all()
    assert said.score[:30].mean() > said.score[30:].mean() + 1
    assert said.flags[:30].mean() > 0.8
    assert said.flags[30:].mean() < 0.2
    assert (said.suggestion[:30] == clean[:30]).mean() > 0.9
    assert (said.suggestion != given).all()
    assert (by_margin(features, given, plan, seed=0).score == said.score).all()


def test_the_combination_learns_from_verified_rows_alone():
    wrong = np.arange(1000) % 10 == 0
    said = {"good": scored(wrong, 0.3), "bad": scored(wrong, 3, seed=1)}
    verified = draw_verified(1000, 200, 0)
    assert verified.sum() == 200
    combined = combine(said, verified, wrong)
    hidden = np.where(verified, wrong, ~wrong)
    assert (combine(said, verified, hidden).score == combined.score).all()
    assert hit_rate_at(combined.score, wrong, 0.8) > hit_rate_at(said["bad"].score, wrong, 0.8) + 0.5


def test_a_cut_reaches_what_it_can():
    wrong = np.array([True, True, False, False])
    assert hit_rate_at(np.array([4.0, 3, 2, 1]), wrong, 1) == 1
    assert hit_rate_at(np.array([4.0, 1, 2, 3]), wrong, 1) == 0.5
    assert hit_rate_at(np.array([1.0, 2, 3, 4]), wrong, 0.9) == 0


def test_verified_rows_are_not_judged():
    generator = np.random.default_rng(0)
    given = generator.integers(0, 3, 1000)
    clean = np.where(generator.random(1000) < 0.1, -1, given)
    clean[:50] = (given[:50] + 1) % 3
    said = {"good": scored(given != clean, 0.3), "silent": Said(np.zeros(1000, bool), generator.random(1000), given)}
    verified = draw_verified(1000, 200, 0)
    found = judge(said, given, clean, verified)
    assert list(found) == ["good", "silent", COMBINED]
    for facts in found.values():
        assert facts["rows"] == 800
        assert facts["errors"] == (given != clean)[~verified].sum()
        assert facts["hits"] == facts["feature_hits"] + facts["label_hits"]
    assert found["silent"]["precision"] is None
    assert found["silent"]["combined_hit_rate"] is None
    assert found[COMBINED]["combined_hit_rate"] >= found[COMBINED]["hit_rate"]
    changed = [Said(each.flags ^ verified, each.score, each.suggestion) for each in said.values()]
    assert judge(dict(zip(said, changed, strict=True)), given, clean, verified) == found


def test_tables_say_none_where_there_is_no_figure():
    given = np.zeros(300, np.int64)
    clean = (np.arange(300) % 5 == 0).astype(np.int64)
    found = []
    for seed in range(3):
        said = {"one": scored(clean > 0, 0.4, seed), "silent": Said(np.zeros(300, bool), given * 1.0, given)}
        found.append({"rows": 300, "detectors": judge(said, given, clean, draw_verified(300, 100, seed))})
    table = protocol_table("title", found, {"hit_rate": "hit rate", "precision": "precision"})
    assert [row[0] for row in table["rows"]] == ["one", "silent", COMBINED]
    assert table["rows"][1][1:] == ["0.000 ± 0.000", None]
    gains = gain_table("title", found, reference="one")
    assert [row[0] for row in gains["rows"]] == ["one", "silent"]
    for row in gains["rows"]:
        assert len(row) == len(gains["columns"])
    assert gains["rows"][0][1] == 0  # itself
    assert gains["rows"][1][4:7] == [None, None, None]

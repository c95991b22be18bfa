import gzip
import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from tests.audit.samples import published, sample, samples

from labelwise.audit import (
    best,
    blocks,
    class_thresholds,
    confident_joint,
    estimate_joint,
    find_label_issues,
    label_quality,
)
from labelwise.audit.filters import _plan

PRUNING = ("prune_by_noise_rate", "prune_by_class", "both")
FILTERS = (*PRUNING, "confident_learning", "predicted_neq_given")
LOWEST = ("low_self_confidence", "low_normalized_margin")
SCORES = ("normalized_margin", "self_confidence", "confidence_weighted_entropy")


def slow_plan(joint, kept, fraction):
    """How many rows of each class to hold for each class, as the definition says, one class after the other."""
    plan = np.zeros(joint.shape, int)
    for k, row in enumerate(joint):
        stays = max(row[k], kept)
        spread = (stays - row[k]) / max(np.count_nonzero(row) - 1, 1)
        others = [0 if j == k else max(row[j] - spread, 0) for j in range(len(row))]
        plan[k] = [int(other * fraction) for other in others]
        plan[k, k] = stays + int(sum(other - other * fraction for other in others) + 1e-9)
    return plan


def slow_prunings(labels, probs, kept, fraction):
    """By noise rate and by class, as sets of rows."""
    plan = slow_plan(confident_joint(labels, probs), kept, fraction)
    by_rate, by_class = set(), set()
    for k in range(len(plan)):
        members = [i for i in range(len(labels)) if labels[i] == k]
        if len(members) > kept:
            ranked = sorted(members, key=lambda i: (probs[i][k], i))
            by_class |= set(ranked[: max(len(members) - plan[k, k], 0)])
            for j in range(len(plan)):
                if j != k:
                    ranked = sorted(members, key=lambda i: (probs[i][k] - probs[i][j], i))
                    by_rate |= set(ranked[: plan[k, j]])
    wrong = {i for i in range(len(labels)) if np.argmax(probs[i] + 1e-6 * np.eye(len(plan))[labels[i]]) != labels[i]}
    return by_rate & wrong, by_class & wrong


@given(samples, st.integers(0, 6), st.sampled_from([0.0, 0.3, 0.75, 1.0]))
def test_pruning_follows_the_definition(labels_and_probs, kept, fraction):
    labels, probs = labels_and_probs
    by_rate, by_class = slow_prunings(labels, probs, kept, fraction)
    for method, rows in zip(PRUNING, (by_rate, by_class, by_rate & by_class), strict=True):
        found = find_label_issues(labels, probs, method, kept, fraction)
        assert set(np.flatnonzero(found).tolist()) == rows


@given(samples, st.sampled_from(LOWEST))
def test_the_lowest_scores_are_as_many_as_confident_learning_finds(labels_and_probs, method):
    labels, probs = labels_and_probs
    found = find_label_issues(labels, probs, method)
    assert found.sum() == find_label_issues(labels, probs, "confident_learning").sum()
    order = np.argsort(label_quality(labels, probs, method.removeprefix("low_")), kind="stable")
    assert set(np.flatnonzero(found)) == set(order[: found.sum()])


@given(samples, st.sampled_from(FILTERS + LOWEST), st.sampled_from(SCORES))
def test_ranked_rows_are_the_flagged_ones_worst_first(labels_and_probs, method, score):
    labels, probs = labels_and_probs
    ranked = find_label_issues(labels, probs, method, rank_by=score)
    assert np.sort(ranked).tolist() == np.flatnonzero(find_label_issues(labels, probs, method)).tolist()
    quality = label_quality(labels, probs, score)[ranked]
    assert (np.diff(quality) >= 0).all()
    assert ranked.tolist() == sorted(ranked.tolist(), key=lambda row: (label_quality(labels, probs, score)[row], row))


@given(samples, st.sampled_from(FILTERS), st.randoms(use_true_random=False))
def test_permuting_rows_permutes_flags(labels_and_probs, method, random):
    labels, probs = labels_and_probs
    order = list(range(len(labels)))
    random.shuffle(order)
    np.testing.assert_array_equal(
        find_label_issues(labels, probs, method)[order], find_label_issues(labels[order], probs[order], method)
    )
    np.testing.assert_array_equal(label_quality(labels, probs)[order], label_quality(labels[order], probs[order]))


@given(samples, st.sampled_from(FILTERS + LOWEST))
def test_a_class_that_is_never_used_changes_nothing(labels_and_probs, method):
    labels, probs = labels_and_probs
    more = np.hstack([probs, np.zeros((len(probs), 1))])
    np.testing.assert_array_equal(find_label_issues(labels, more, method), find_label_issues(labels, probs, method))
    assert not confident_joint(labels, more)[-1].any()
    assert not confident_joint(labels, more)[:, -1].any()
    assert class_thresholds(labels, more)[-1] == 2


@given(samples, st.sampled_from(FILTERS + LOWEST), st.integers(1, 5))
def test_missing_labels_count_nowhere(labels_and_probs, method, missing):
    labels, probs = labels_and_probs
    generator = np.random.default_rng(missing)
    at = np.sort(generator.integers(0, len(labels) + 1, missing))
    with_missing = np.insert(labels, at, -1)
    with_more = np.insert(probs, at, generator.dirichlet(np.ones(probs.shape[1]), missing), axis=0)
    kept = with_missing >= 0
    flagged = find_label_issues(with_missing, with_more, method)
    assert not flagged[~kept].any()
    np.testing.assert_array_equal(flagged[kept], find_label_issues(labels, probs, method))
    np.testing.assert_array_equal(confident_joint(with_missing, with_more), confident_joint(labels, probs))
    quality = label_quality(with_missing, with_more)
    assert np.isnan(quality[~kept]).all()
    np.testing.assert_array_equal(quality[kept], label_quality(labels, probs))


@given(samples, st.sampled_from(PRUNING), st.integers(0, 4), st.floats(0, 1))
def test_pruning_keeps_rows_of_every_class(labels_and_probs, method, kept, fraction):
    labels, probs = labels_and_probs
    flagged = find_label_issues(labels, probs, method, min_per_class=kept, fraction=fraction)
    counts = np.bincount(labels, minlength=probs.shape[1])
    left = np.bincount(labels[~flagged], minlength=probs.shape[1])
    assert (left >= np.minimum(counts, kept)).all()
    assert not find_label_issues(labels, probs, method, fraction=0).any()


def test_a_class_that_is_never_guessed_as_given_keeps_its_rows_at_fraction_0():
    joint = csr_array(np.array([[0, 1, 1], [0, 3, 0], [0, 0, 2]]))
    kept, removable = _plan(joint, min_per_class=1, fraction=0)
    assert kept.tolist() == [2, 3, 2]
    assert not removable.data.any()
    kept, removable = _plan(joint, min_per_class=1, fraction=1)
    assert kept.tolist() == [1, 3, 2]


@given(samples)
def test_both_is_what_the_two_prunings_agree_on(labels_and_probs):
    by_class, by_rate, both = (
        find_label_issues(*labels_and_probs, method) for method in ("prune_by_class", "prune_by_noise_rate", "both")
    )
    np.testing.assert_array_equal(both, by_class & by_rate)
    everything = find_label_issues(*labels_and_probs, "predicted_neq_given")
    assert not (by_class | by_rate)[~everything].any()


@pytest.mark.parametrize("method", FILTERS + LOWEST)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_perfect_and_useless_models_find_nothing(method, dtype):
    labels = np.repeat(np.arange(4), 5)
    perfect = np.eye(4, dtype=dtype)[labels]
    assert not find_label_issues(labels, perfect, method).any()
    assert np.trace(estimate_joint(labels, perfect)) == 1
    assert not find_label_issues(labels, np.full((20, 4), 0.25, dtype), method).any()


def test_the_arguments_are_left_as_they_are():
    labels, probs = sample(0, 50, 3)
    before = probs.copy()
    for method in FILTERS:
        find_label_issues(labels, probs, method)
    for score in ("normalized_margin", "confidence_weighted_entropy"):
        label_quality(labels, probs, score)
    np.testing.assert_array_equal(probs, before)


def test_unknown_options_are_refused():
    labels, probs = sample(0, 10, 2)
    with pytest.raises(ValueError, match=r"method must be one of prune_by_noise_rate.*got 'prune'"):
        find_label_issues(labels, probs, "prune")
    with pytest.raises(ValueError, match=r"fraction must be in \[0, 1\]; got 2"):
        find_label_issues(labels, probs, fraction=2)
    with pytest.raises(ValueError, match="min_per_class must be at least 0; got -1"):
        find_label_issues(labels, probs, min_per_class=-1)
    with pytest.raises(ValueError, match=r"score must be one of .*got 'margin'"):
        find_label_issues(labels, probs, rank_by="margin")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_mapped_array_gives_what_one_in_memory_gives_and_is_never_copied(tmp_path, dtype):
    labels, probs = sample(0, 60_000, 20)
    np.save(tmp_path / "probs.npy", np.asfortranarray(probs, dtype) if dtype == np.float32 else probs.astype(dtype))
    mapped = np.load(tmp_path / "probs.npy", mmap_mode="r")
    exact = mapped.astype(np.float64 if dtype == np.float64 else np.float32)  # float16 is computed in float32
    for method in FILTERS + LOWEST:
        expected = find_label_issues(labels, exact, method, rank_by="normalized_margin")
        tracemalloc.start()
        found = find_label_issues(labels, mapped, method, rank_by="normalized_margin")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found.tolist() == expected.tolist()
        assert peak < 0.6 * 20 * len(labels) * 8 + 12 * 2**20


def test_many_classes_need_no_matrix_of_them():
    generator = np.random.default_rng(0)
    labels = generator.integers(10_000, size=300)
    truth = np.where(generator.random(300) < 0.3, generator.integers(10_000, size=300), labels)
    probs = np.full((300, 10_000), 1e-5, np.float32)
    probs[np.arange(300), truth] = 0.9
    probs /= probs.sum(axis=1, keepdims=True)
    tracemalloc.start()
    found = find_label_issues(labels, probs, "predicted_neq_given")
    np.testing.assert_array_equal(found, truth != labels)
    for method in FILTERS + LOWEST:
        find_label_issues(labels, probs, method)
    joint = confident_joint(labels, probs, sparse=True)
    assert tracemalloc.get_traced_memory()[1] < 40e6  # a dense matrix of pairs would take 800 MB
    tracemalloc.stop()
    assert joint.sum() == 300


def test_the_same_rows_whatever_is_read_at_a_time(monkeypatch):
    labels, probs = sample(3, 3000, 6, 0.5)
    probs = probs.astype(np.float16)  # many ties
    expected = [find_label_issues(labels, probs, method) for method in FILTERS]
    monkeypatch.setattr(blocks, "_NUMBERS", 100)
    monkeypatch.setattr(best, "_NUMBERS", 1)
    for method, rows in zip(FILTERS, expected, strict=True):
        np.testing.assert_array_equal(find_label_issues(labels, probs, method), rows)


def digest(rows: np.ndarray) -> str:
    return hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:12]


# Row sets that cleanlab 2.9 finds too. Of 20news, `prune_by_class` (so `both`) and `low_self_confidence` cut through
# rows of equal score, of which we take the first.
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "mnist",
            {
                "prune_by_noise_rate": (15, "fba2dbd0e7f4"),
                "prune_by_class": (15, "fba2dbd0e7f4"),
                "both": (15, "fba2dbd0e7f4"),
                "confident_learning": (15, "fba2dbd0e7f4"),
                "predicted_neq_given": (87, "5d5c79e7186e"),
                "low_self_confidence": (15, "e4fbf09aaee1"),
                "low_normalized_margin": (15, "e4fbf09aaee1"),
            },
        ),
        (
            "imdb",
            {
                "prune_by_noise_rate": (1309, "8a28c40b66f2"),
                "prune_by_class": (1309, "8a28c40b66f2"),
                "both": (1309, "8a28c40b66f2"),
                "confident_learning": (1076, "8dcbe3b52099"),
                "predicted_neq_given": (2606, "bc4797e8bab5"),
                "low_self_confidence": (1076, "c80cbde123a2"),
                "low_normalized_margin": (1076, "c80cbde123a2"),
            },
        ),
        (
            "20news",
            {
                "prune_by_noise_rate": (95, "8247a6836af9"),
                "prune_by_class": (96, "a4bd7912d3be"),
                "both": (45, "8e5a46a26a0a"),
                "confident_learning": (55, "7ba023bfc535"),
                "predicted_neq_given": (577, "112747161031"),
                "low_self_confidence": (55, "5e75d47ab818"),
                "low_normalized_margin": (55, "c089a65f77c3"),
            },
        ),
    ],
)
def test_row_sets_of_published_probabilities(data, name, found):
    labels, probs = published(data, name)
    rows = {method: np.flatnonzero(find_label_issues(labels, probs, method)) for method in FILTERS + LOWEST}
    assert {method: (len(each), digest(each)) for method, each in rows.items()} == found


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "reviewed", "validated"), [("mnist", 100, 15), ("imdb", 1310, 725), ("20news", 93, 82)]
)
def test_the_lowest_margins_are_what_people_reviewed(data, name, reviewed, validated):
    labels, probs = published(data, name)
    with gzip.open(data / "label-errors" / f"{name}_verdicts.json.gz") as file:
        verdicts = {item["id"]: item["mturk"]["given"] < 3 for item in json.load(file)}
    worst = np.argsort(label_quality(labels, probs), kind="stable")[: len(verdicts)]
    assert set(worst.tolist()) == set(verdicts)
    assert (len(verdicts), sum(verdicts.values())) == (reviewed, validated)

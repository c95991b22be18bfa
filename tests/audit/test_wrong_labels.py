import tracemalloc

import numpy as np
import pytest

from labelwise.audit import find_label_issues
from labelwise.audit.wrong_labels import label_findings, label_metrics, wrong_labels
from labelwise.labels import Task

TASK = Task("y", "single", ("a", "b", "c"))


def sample(n: int = 90, models: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Models that know the classes; row 0 is labelled wrong, row 1 looks like none, row 2 has no label."""
    truth = np.arange(n) % 3
    probs = np.tile(np.eye(3)[truth] * 0.85 + 0.05, (models, 1, 1))
    labels = truth.copy()
    labels[0] = 1
    probs[:, 1] = [0.45, 0.1, 0.45]
    labels[2] = -1
    return labels, probs


def test_wrong_labels_are_named_with_reasons():
    labels, probs = sample()
    verdict = wrong_labels(labels, probs)
    assert np.flatnonzero(verdict.flags).tolist() == [0, 1]
    first, second = label_findings(TASK, labels, verdict)
    assert (first.example, first.given, first.suggested) == (0, "b", "a")
    assert first.score == pytest.approx(1 - (0.05 - 0.9 + 1) / 2)
    assert first.why.startswith("3 of 3 models predict 'a'; probability of the given label 0.05")
    assert "confident learning counts it as wrong" in first.why
    assert second.suggested is None
    assert "no class is likely ('a' has 0.45)" in second.why
    metrics = label_metrics(labels, verdict)
    assert metrics["flagged"] == 2
    assert metrics["accuracy_out_of_sample"] == pytest.approx(87 / 89)
    assert 0 < metrics["estimated_error_rate"] < 0.05


def test_models_that_disagree_are_told_apart():
    labels, probs = sample()
    probs[1, 0] = [0.1, 0.0, 0.9]
    (first, _) = label_findings(TASK, labels, wrong_labels(labels, probs))
    assert first.why.startswith("2 of 3 models predict 'a', 3 another class than the given one;")


def test_most_models_must_disagree():
    labels, probs = sample()
    probs[:2, 0] = [0.45, 0.5, 0.05]
    assert not wrong_labels(labels, probs).flags[0]


def test_one_model_means_confident_learning():
    labels, probs = sample(models=1)
    verdict = wrong_labels(labels, probs)
    np.testing.assert_array_equal(verdict.flags, find_label_issues(labels, probs[0]))
    (first, *_) = label_findings(TASK, labels, verdict)
    assert first.why.startswith("the model predicts 'a'")


def test_the_last_row_of_a_tiny_class_is_never_flagged():
    labels, probs = sample()
    against_c = np.tile([0.9, 0.1, 0.0], (3, 1))
    labels[labels == 2] = 0
    labels[[5, 8]] = 2
    probs[:, 5], probs[:, 8] = against_c, against_c
    probs[:, 8] = [0.89, 0.1, 0.01]
    flags = wrong_labels(labels, probs).flags
    assert flags[5]
    assert not flags[8]
    labels[5] = 0
    assert not wrong_labels(labels, probs).flags[8]


def random_models(models: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and float32 probabilities of models that are right more often than not."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, classes, n)
    logits = generator.standard_normal((models, n, classes), np.float32)
    logits[:, np.arange(n), truth] += 4
    probs = np.exp(logits, out=logits)
    probs /= probs.sum(axis=2, keepdims=True)
    return np.where(generator.random(n) < 0.1, generator.integers(0, classes, n), truth), probs


def test_a_stored_mean_finds_the_same_as_one_of_double_precision(tmp_path):
    labels, probs = random_models(3, 20_000, 10)
    labels[::70] = -1
    exact = wrong_labels(labels, probs.astype(np.float64))
    stored = wrong_labels(labels, probs, store=tmp_path / "mean")
    assert exact.probability.dtype == np.float64
    np.testing.assert_array_equal(exact.probability, probs.mean(axis=0, dtype=np.float64))
    assert isinstance(stored.probability, np.memmap)
    np.testing.assert_array_equal(stored.probability, exact.probability.astype(np.float32))
    np.testing.assert_array_equal(stored.flags, exact.flags)
    np.testing.assert_array_equal(stored.by_joint, exact.by_joint)
    assert exact.flags.sum() > 500
    task = Task("y", "single", tuple("abcdefghij"))
    ours, theirs = (list(label_findings(task, labels, verdict)) for verdict in (stored, exact))
    assert [each._replace(score=0) for each in ours] == [each._replace(score=0) for each in theirs]
    np.testing.assert_allclose([each.score for each in ours], [each.score for each in theirs], atol=1e-6)
    held = wrong_labels(labels, probs)
    np.testing.assert_array_equal(held.probability, stored.probability)


def test_mapped_probabilities_take_the_memory_of_some_columns(tmp_path):
    n, classes = 100_000, 100
    labels, probs = random_models(2, n, classes)
    np.save(tmp_path / "p.npy", probs)
    whole = probs.nbytes
    del probs
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    tracemalloc.start()
    verdict = wrong_labels(labels, mapped, store=tmp_path / "mean")
    label_metrics(labels, verdict)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    blocks = 40e6  # of the mean, which is taken in double precision, and of some threads
    assert most < 120 * n + blocks < whole

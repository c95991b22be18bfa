import numpy as np
import pytest
from hypothesis import given
from tests.audit.samples import published, sample, samples

from labelwise.audit import class_thresholds, label_quality


@given(samples)
def test_scores_lie_in_the_unit_interval_and_follow_their_formulas(labels_and_probs):
    labels, probs = labels_and_probs
    rows = np.arange(len(labels))
    own = probs[rows, labels]
    others = np.array([np.delete(row, k).max() for row, k in zip(probs, labels, strict=True)])
    np.testing.assert_allclose(label_quality(labels, probs), (own - others + 1) / 2)
    np.testing.assert_allclose(label_quality(labels, probs, "self_confidence"), own)
    entropy = -(probs * np.log(probs)).sum(axis=1) / np.log(probs.shape[1])
    ratio = entropy / np.maximum(own, 1e-6)
    expected = np.log(ratio + 1) / np.maximum(ratio, 1e-6)
    np.testing.assert_allclose(label_quality(labels, probs, "confidence_weighted_entropy"), expected, atol=1e-9)
    for score in ("normalized_margin", "self_confidence", "confidence_weighted_entropy"):
        quality = label_quality(labels, probs, score)
        assert ((quality >= 0) & (quality <= 1)).all()


@given(samples)
def test_adjusting_takes_away_what_the_model_thinks_of_a_class_on_average(labels_and_probs):
    labels, probs = labels_and_probs
    thresholds = class_thresholds(labels, probs)
    adjusted = probs - thresholds + thresholds.max()
    adjusted /= adjusted.sum(axis=1, keepdims=True)
    own = adjusted[np.arange(len(labels)), labels]
    others = np.array([np.delete(row, k).max() for row, k in zip(adjusted, labels, strict=True)])
    np.testing.assert_allclose(label_quality(labels, probs, "self_confidence", adjust=True), own)
    np.testing.assert_allclose(label_quality(labels, probs, adjust=True), (own - others + 1) / 2)


def test_scores_come_in_float64_from_blocks_of_any_type():
    labels, probs = sample(0, 30_000, 15)
    for score in ("normalized_margin", "self_confidence", "confidence_weighted_entropy"):
        exact = label_quality(labels, probs, score)
        for dtype, error in ((np.float16, 2e-3), (np.float32, 1e-5)):
            quality = label_quality(labels, probs.astype(dtype), score)
            assert quality.dtype == np.float64
            np.testing.assert_allclose(quality, exact, atol=error)
        np.testing.assert_array_equal(label_quality(labels[:7], probs[:7], score), exact[:7])


def test_unknown_scores_are_refused():
    labels, probs = sample(0, 10, 2)
    with pytest.raises(ValueError, match=r"score must be one of normalized_margin.*got 'margin'"):
        label_quality(labels, probs, "margin")
    with pytest.raises(ValueError, match="adjust is for normalized_margin and self_confidence"):
        label_quality(labels, probs, "confidence_weighted_entropy", adjust=True)


# Means that cleanlab 2.9 gives too.
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("mnist", (0.9877903497335403, 0.987035478908, 0.7795810581566895, 0.9583677453800475, 0.9391938032134114)),
        ("imdb", (0.8739658154408837, 0.8739658154408837, 0.8698293724054417, 0.8731974802116552, 0.8731974802116552)),
        (
            "20news",
            (0.7795063526798585, 0.7045700778510163, 0.7847726574984247, 0.5677572430291378, 0.22624034597586376),
        ),
    ],
)
def test_scores_of_published_probabilities(data, name, means):
    labels, probs = published(data, name)
    scores = [
        label_quality(labels, probs),
        label_quality(labels, probs, "self_confidence"),
        label_quality(labels, probs, "confidence_weighted_entropy"),
        label_quality(labels, probs, adjust=True),
        label_quality(labels, probs, "self_confidence", adjust=True),
    ]
    np.testing.assert_allclose([score.mean() for score in scores], means, rtol=0, atol=1e-9)

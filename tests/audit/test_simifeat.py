import numpy as np
import pytest

from labelwise.audit import simifeat
from labelwise.audit.consensus import first_drawn, labelled_neighbours
from labelwise.audit.simifeat import _soft_counts


def clusters(seed: int, n: int = 400, classes: int = 4, wrong: float = 0.1):
    """Embeddings around an axis for each class, labels of which some are drawn anew, and true classes."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(classes, size=n)
    embeddings = 5 * np.eye(classes + 2)[truth] + generator.standard_normal((n, classes + 2))
    anew = generator.random(n) < wrong
    return embeddings, np.where(anew, generator.integers(classes, size=n), truth), truth


@pytest.mark.parametrize("mode", ["vote", "rank"])
def test_labels_that_neighbours_do_not_share_are_flagged(mode):
    embeddings, labels, truth = clusters(0)
    found = simifeat(embeddings, labels, mode, quiet=True)
    wrong = labels != truth
    assert (found.flags & wrong).sum() >= 0.9 * wrong.sum()
    assert (found.flags & wrong).sum() >= 0.9 * found.flags.sum()
    assert (found.suggestion == truth)[found.flags & wrong].mean() > 0.9
    assert (found.suggestion != labels).all()
    assert (found.confidence[found.flags] > 0.2).all()
    assert (found.share[found.flags] > 0.5).all()


def test_a_seed_decides_everything_and_length_does_not_matter():
    embeddings, labels, _ = clusters(1, 150)
    first = simifeat(embeddings, labels, epochs=5, seed=3, quiet=True)
    scaled = embeddings * np.random.default_rng(0).uniform(0.5, 2, (150, 1))
    for again in (
        simifeat(embeddings, labels, epochs=5, seed=3, quiet=True),
        simifeat(scaled, labels, epochs=5, seed=3, quiet=True),
    ):
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other)


def test_missing_labels_count_nowhere():
    embeddings, labels, _ = clusters(2, 200)
    missing = np.random.default_rng(0).random(200) < 0.2
    found = simifeat(embeddings, np.where(missing, -1, labels), quiet=True)
    alone = simifeat(embeddings[~missing], labels[~missing], quiet=True)
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one[~missing], other)
    assert not found.flags[missing].any()
    assert np.isnan(found.share[missing]).all()
    assert (found.suggestion[missing] == -1).all()


def test_soft_counts_follow_the_definition():
    embeddings, labels, _ = clusters(3, 50)
    _, given, near = labelled_neighbours(embeddings, labels, 49, 3, True)
    sample = np.arange(0, 50, 2)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    slots, _ = first_drawn(near.rows, sample, 50, 5)
    for row, shares in zip(sample, _soft_counts(near, given, sample, slots, 4), strict=True):
        apart = 1 - units[sample] @ units[row]
        order = [i for i in np.argsort(apart) if sample[i] != row][:5]
        counts = np.zeros(given.max() + 1)
        counts[given[row]] += 1 - (2 * apart[order[0]] - apart[order[1]])
        for i in order:
            counts[given[sample[i]]] += 1 - apart[i]
        np.testing.assert_allclose(shares, counts / np.linalg.norm(counts), atol=1e-5)


def test_unfit_arguments_are_refused():
    embeddings, labels, _ = clusters(0, 20)
    with pytest.raises(ValueError, match="mode must be vote or rank; got 'mv'"):
        simifeat(embeddings, labels, "mv")
    with pytest.raises(ValueError, match="k must be at least 3 and epochs at least 1; got 2 and 35"):
        simifeat(embeddings, labels, k=2)
    with pytest.raises(ValueError, match="at least 11 rows must have a label; got 10"):
        simifeat(embeddings[:10], labels[:10])
    with pytest.raises(ValueError, match=r"embeddings must be \[n, d\] and labels class indices \[n\]"):
        simifeat(embeddings, labels[:5])
    with pytest.raises(ValueError, match=r"confidence must be in \[0, 1\]; got 20"):
        simifeat(embeddings, labels, confidence=20)
    with pytest.raises(ValueError, match="or -1 if missing; got -2 at row 3"):
        simifeat(embeddings, np.where(np.arange(len(labels)) == 3, -2, labels))
    with pytest.raises(ValueError, match="embeddings must be numbers; got <U1"):
        simifeat(np.full(embeddings.shape, "a"), labels)
    embeddings[7] = 0
    with pytest.raises(ValueError, match="not all zeros; row 7 is not"):
        simifeat(embeddings, labels)

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, log_loss

from labelwise.metrics import distribution_scores, mean_average_precision, set_scores


def sets(n=400, classes=4, seed=0):
    generator = np.random.default_rng(seed)
    truth = (generator.random((n, classes)) < [0.5, 0.3, 0.1, 0.6]).astype(np.int8)
    return truth, np.clip(truth * 0.5 + generator.random((n, classes)) * 0.7, 0, 1)


def test_sets_are_scored_as_by_scikit_learn():
    truth, chances = sets()
    gaps = truth.copy()
    gaps[::9] = -1
    scores = set_scores(gaps, chances)
    known = gaps[:, 0] >= 0
    truth, said = truth[known], chances[known] >= 0.5
    assert scores["n"] == known.sum()
    assert scores["map"]["value"] == pytest.approx(average_precision_score(truth, chances[known], average="macro"))
    expected = {
        "micro_f1": f1_score(truth, said, average="micro"),
        "macro_f1": f1_score(truth, said, average="macro"),
        "subset_accuracy": accuracy_score(truth, said),
    }
    for name, value in expected.items():
        assert scores[name]["value"] == pytest.approx(value)
        assert scores[name]["low"] < value < scores[name]["high"]


def test_classes_that_occur_nowhere_do_not_count():
    truth, chances = sets()
    wider = np.zeros((len(truth), 1))
    plain = set_scores(truth, chances)
    padded = set_scores(np.hstack([truth, wider.astype(np.int8)]), np.hstack([chances, wider]))
    assert padded == plain
    nothing = set_scores(np.zeros((3, 2), np.int8), np.zeros((3, 2)))
    assert (nothing["map"]["value"], nothing["macro_f1"]["value"], nothing["subset_accuracy"]["value"]) == (
        None,
        None,
        1,
    )
    assert set_scores(np.full((3, 2), -1), np.zeros((3, 2)))["n"] == 0


def test_distributions_of_one_class_are_scored_as_classes():
    generator = np.random.default_rng(0)
    chances = generator.dirichlet(np.ones(3), 100)
    codes = generator.integers(0, 3, 100)
    shares = np.eye(3)[codes]
    shares[::10] = np.nan
    scores = distribution_scores(shares, chances)
    known = np.arange(100) % 10 > 0
    assert scores["n"] == 90
    assert scores["cross_entropy"]["value"] == pytest.approx(log_loss(codes[known], chances[known]))
    assert scores["accuracy"]["value"] == pytest.approx((chances.argmax(1) == codes)[known].mean())
    assert scores["accuracy"]["low"] < scores["accuracy"]["value"] < scores["accuracy"]["high"]


def test_the_cross_entropy_of_a_distribution_is_least_at_itself():
    shares = np.random.default_rng(1).dirichlet(np.ones(4), 50)
    own = distribution_scores(shares, shares)["cross_entropy"]["value"]
    assert own < distribution_scores(shares, np.roll(shares, 1, 0))["cross_entropy"]["value"]
    assert own == pytest.approx(-(shares * np.log(shares)).sum(1).mean())


@pytest.mark.parametrize("score", [set_scores, distribution_scores])
def test_arrays_of_other_shapes_are_refused(score):
    with pytest.raises(ValueError, match=r"must be \[n, classes\], as the labels are; got \[3, 2\]"):
        score(np.zeros((3, 3)), np.zeros((3, 2)))


def test_classes_that_nobody_has_do_not_count():
    generator = np.random.default_rng(0)
    scores, sets = generator.normal(size=(40, 3)), generator.random((40, 3)) < 0.3
    sets[:, 1] = False
    expected = [average_precision_score(sets[:, each], scores[:, each]) for each in (0, 2)]
    assert mean_average_precision(sets, scores) == pytest.approx(np.mean(expected))
    assert mean_average_precision(np.zeros_like(sets), scores) is None

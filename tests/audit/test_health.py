import numpy as np
import pytest
from hypothesis import given
from tests.audit.samples import published, sample, samples

from labelwise.audit import class_health, class_overlap, confident_joint


@given(samples)
def test_health_follows_from_the_joint(labels_and_probs):
    labels, probs = labels_and_probs
    joint = confident_joint(labels, probs)
    health = class_health(labels, probs)
    assert sorted(health["class"]) == list(range(len(joint)))
    assert health["wrong"].sum() == health["missed"].sum() == joint.sum() - np.trace(joint)
    assert health["rows"].sum() == len(labels)
    assert health["quality"].dropna().is_monotonic_increasing
    for row in health.itertuples(index=False):
        k = row[0]
        assert row.rows == (labels == k).sum() == row.wrong + joint[k, k]
        assert joint[:, k].sum() == row.missed + joint[k, k]
        if row.rows:
            assert row.quality == pytest.approx(joint[k, k] / row.rows)
        else:
            assert np.isnan(row.quality)


@given(samples)
def test_overlaps_follow_from_the_joint(labels_and_probs):
    labels, probs = labels_and_probs
    joint = confident_joint(labels, probs)
    overlap = class_overlap(labels, probs)
    assert overlap["rows"].is_monotonic_decreasing
    found = {(a, b): rows for a, b, rows in overlap[["class_a", "class_b", "rows"]].itertuples(index=False)}
    both = joint + joint.T
    expected = {(a, b): both[a, b] for a in range(len(joint)) for b in range(a + 1, len(joint)) if both[a, b]}
    assert found == expected
    np.testing.assert_allclose(overlap["joint"], overlap["rows"] / len(labels))


def test_perfect_labels_are_healthy_and_do_not_overlap():
    labels = np.repeat(np.arange(3), 4)
    probs = np.eye(3)[labels]
    assert (class_health(labels, probs)["quality"] == 1).all()
    assert len(class_overlap(labels, probs)) == 0


def test_missing_labels_and_unused_classes_count_nowhere():
    labels, probs = sample(0, 200, 4)
    more = np.hstack([probs, np.zeros((200, 1))])
    health = class_health(np.append(labels, -1), np.vstack([more, more[:1]]))
    assert health["class"].tolist()[-1] == 4
    assert health[health["class"] < 4].equals(class_health(labels, probs))


# The worst class and the pair that overlaps most, as cleanlab 2.9 finds them.
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "worst", "pair"),
    [("mnist", (5, 2, 2), (2, 7, 3)), ("imdb", (0, 708, 601), (0, 1, 1309)), ("20news", (0, 11, 3), (0, 19, 14))],
)
def test_classes_of_published_probabilities(data, name, worst, pair):
    labels, probs = published(data, name)
    first = class_health(labels, probs).iloc[0]
    assert (first["class"], first["wrong"], first["missed"]) == worst
    assert tuple(class_overlap(labels, probs).iloc[0][["class_a", "class_b", "rows"]]) == pair

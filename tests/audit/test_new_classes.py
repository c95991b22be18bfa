import numpy as np
import pytest

from labelwise.audit.new_classes import new_class_issues
from labelwise.labels import Task, bundled
from labelwise.models import encode

TASK = Task("y", "single", ("a", "b", "c"))


def blobs(*sizes, width=10, seed=0):
    """Normal clouds, each far from all others in a direction of its own."""
    cloud = np.repeat(np.arange(len(sizes)), sizes)
    points = np.random.default_rng(seed).standard_normal((len(cloud), width))
    points[np.arange(len(cloud)), cloud] += 12
    return cloud, points


def find(labels, points, **options):
    return list(new_class_issues(TASK, labels, points, **options))


@pytest.mark.parametrize("width", [5, 30])
def test_classes_of_one_cloud_each_hold_no_other(width):
    cloud, points = blobs(80, 80, 80, width=width)
    assert not find(cloud, points)


def test_a_cloud_under_the_name_of_another_is_found_with_its_members():
    cloud, points = blobs(80, 80, 80, 25)
    labels = np.where(cloud == 3, 0, cloud)
    (one,) = find(labels, points)
    assert (one.kind, one.subject, one.rows) == ("new_class", "a", 25)
    assert (cloud[list(one.examples)] == 3).all()
    assert 0.3 < one.score < 1


def test_what_groups_or_other_labels_tell_is_known():
    cloud, points = blobs(80, 80, 80, 25)
    labels = np.where(cloud == 3, 0, cloud)
    assert not find(labels, points, groups=np.where(cloud == 3, 1000, np.arange(len(cloud))))
    assert not find(labels, points, others=[np.where(cloud == 3, 5 + np.arange(len(cloud)) % 3, 0)])
    random = np.random.default_rng(1).integers(0, 3, len(cloud))
    assert len(find(labels, points, others=[random], groups=np.arange(len(cloud)) // 2)) == 1


def test_mislabelled_members_of_another_class_are_no_new_class():
    cloud, points = blobs(80, 80, 80)
    labels = cloud.copy()
    labels[np.flatnonzero(cloud == 1)[:25]] = 0
    assert not find(labels, points)


def test_large_data_is_sampled_and_rows_without_label_are_left_out():
    cloud, points = blobs(2500, 500, 400, 1000)
    labels = np.where(cloud == 3, 0, cloud)
    (one,) = find(labels, points)
    assert one.rows == pytest.approx(1000, rel=0.1)
    assert (cloud[list(one.examples)] == 3).all()
    assert not find(np.where(cloud == 3, -1, labels), points)
    assert not find(np.full(len(cloud), -1), points)


def test_a_digit_hidden_in_another_is_found():
    table = bundled("digits")
    codes, features = table.labels("digit"), encode(table, quiet=True).features
    hidden = np.flatnonzero(codes == 0)[:40]
    keep = np.setdiff1d(np.arange(len(codes)), np.flatnonzero(codes == 0)[40:])
    labels = codes.copy()
    labels[hidden] = 6
    issues = new_class_issues(table.task("digit"), labels[keep], features.reshape(len(codes), -1)[keep])
    found = {each.subject: each for each in issues}
    assert found["6"].rows == pytest.approx(40, abs=2)
    assert len(found) <= 2

import numpy as np
import pytest

from labelwise.audit.near_duplicates import (
    closeness_bound,
    near_duplicate_findings,
    near_duplicates,
)
from labelwise.audit.neighbours import NEIGHBOURS, nearest
from labelwise.labels import LabelTable, Task, bundled
from labelwise.models import encode


def make(codes) -> LabelTable:
    codes = np.asarray(codes)
    names = tuple(map(str, range(codes.max() + 1)))
    return LabelTable.from_columns({"y": codes}, [Task("y", "single", names)])


def find(codes, features, probabilities=None, twins=None, left_out=None):
    none = np.full(len(codes), -1)
    twins = none if twins is None else twins
    left_out = none > 0 if left_out is None else left_out
    pairs = near_duplicates(features, left_out, twins, quiet=True)
    return list(near_duplicate_findings(make(codes), pairs, probabilities or {}))


def test_random_labels_of_distinct_rows_are_left_alone():
    for seed in range(20):
        generator = np.random.default_rng(seed)
        codes = generator.integers(0, 5, 300)
        assert len(find(codes, generator.standard_normal((300, 2 + seed)))) <= 1


def test_the_bound_grows_with_the_dimension_and_duplicates_do_not_move_it():
    generator = np.random.default_rng(0)
    bounds = []
    for width in (3, 6, 12, 50):
        vectors = generator.standard_normal((400, width))
        bounds.append(closeness_bound(nearest(vectors, metric="angle", quiet=True).distances))
        doubled = np.concatenate([vectors, vectors[:100] + 1e-6])
        assert closeness_bound(nearest(doubled, metric="angle", quiet=True).distances) == pytest.approx(
            bounds[-1], rel=0.4
        )
    assert bounds == sorted(bounds)
    assert bounds[-1] == 0.25
    assert closeness_bound(np.zeros((5, NEIGHBOURS))) == 0


@pytest.mark.parametrize("name", ["digits", "wine", "breast_cancer"])
def test_planted_near_duplicates_are_found_and_nothing_else(name):
    table = bundled(name)
    task = table.tasks[0]
    features = encode(table, quiet=True).features
    features = features.reshape(len(features), -1)
    codes = table.labels(task.name)
    generator = np.random.default_rng(0)
    copied = generator.permutation(len(codes))[:20]
    jitter = 0.01 * features.std() * generator.standard_normal(features[copied].shape)
    both = np.concatenate([features, features[copied] + jitter])
    labels = np.concatenate([codes, (codes[copied] + 1) % len(task.classes)])
    assert not find(codes, features)
    found = find(labels, both)
    assert {each.example for each in found} == set(copied.tolist()) | set(range(len(codes), len(both)))
    assert all(each.suggested is None and 0.7 < each.score <= 1 for each in found)

    sure = np.eye(len(task.classes))[np.concatenate([codes, codes[copied]])]
    found = find(labels, both, {"y": sure})
    assert {each.example for each in found} == set(range(len(codes), len(both)))
    assert all(int(each.suggested) == codes[copied[each.example - len(codes)]] for each in found)
    assert not find(np.concatenate([codes, codes[copied]]), both)  # equal labels
    rows = np.concatenate([np.arange(len(codes)), copied])
    assert not find(labels, both, twins=rows)  # identical in content
    out = np.arange(len(both)) >= len(codes)
    assert not find(labels, both, left_out=out)


def test_few_rows_and_empty_rows_are_not_compared():
    codes = np.arange(40) % 2
    assert not find(codes, np.ones((40, 3)))
    features = np.random.default_rng(0).standard_normal((80, 3))
    features[:10] = 0
    assert not find(np.arange(80) % 2, features)

import numpy as np
import pytest
from scipy.stats import fisher_exact

from labelwise.audit.groups import significantly_worse, underperforming_groups
from labelwise.labels import LabelTable, Task

N = 400
CODES = np.arange(N) % 2
SITE = np.arange(N) // 100  # 0, 1, 2, 3


def make(wrong, **roles):
    """Labels, sites and the probabilities of a model that errs in these rows."""
    predicted = np.where(wrong, 1 - CODES, CODES)
    probability = np.eye(2)[predicted] * 0.8 + 0.1
    columns = {"site": [f"s{s}" for s in SITE], "size": np.arange(N) / 7, "y": CODES}
    return LabelTable.from_columns(columns, [Task("y", "single", ("a", "b"))], **roles), probability


@pytest.mark.parametrize("seed", range(6))
def test_the_test_is_fishers_with_holms_steps(seed):
    generator = np.random.default_rng(seed)
    rows = generator.integers(8, 40, 12)
    right = generator.binomial(rows, np.where(generator.random(12) < 0.5, 0.4, 0.85))
    all_rows, all_right = int(rows.sum()), int(right.sum())
    p = [
        fisher_exact([[k, m - k], [all_right - k, all_rows - all_right - m + k]], alternative="less").pvalue
        for k, m in zip(right, rows, strict=True)
    ]
    expected = np.zeros(12, bool)
    for step, at in enumerate(np.argsort(p)):
        if p[at] * (12 - step) >= 0.01:
            break
        expected[at] = (all_right - right[at]) / (all_rows - rows[at]) - right[at] / rows[at] >= 0.1
    np.testing.assert_array_equal(significantly_worse(right, rows, all_right, all_rows), expected)


def test_few_rows_outside_a_group_prove_nothing():
    assert not significantly_worse(np.array([850]), np.array([1000]), 855, 1005).any()
    assert significantly_worse(np.array([850]), np.array([1000]), 1050, 1200).all()


def test_a_small_difference_does_not_count_however_sure():
    assert not significantly_worse(np.array([90_000]), np.array([100_000]), 185_000, 200_000).any()
    assert significantly_worse(np.array([80_000]), np.array([100_000]), 175_000, 200_000).all()


def test_the_group_with_the_errors_is_named():
    wrong = (SITE == 2) & (np.arange(N) % 2 == 0)
    table, probability = make(wrong)
    (one,) = underperforming_groups(table, "y", probability)
    assert (one.kind, one.task, one.subject, one.rows) == ("underperforming_group", "y", "site = s2", 100)
    assert one.score == pytest.approx(0.5)
    assert wrong[list(one.examples)].all()
    assert "50% of the labels of its 100 rows and 100% of the others" in one.why
    table, probability = make(wrong, group="site")
    assert [each.subject for each in underperforming_groups(table, "y", probability)] == ["site = s2"]


@pytest.mark.parametrize("seed", range(5))
def test_errors_at_random_name_no_group(seed):
    table, probability = make(np.random.default_rng(seed).random(N) < 0.3)
    assert not list(underperforming_groups(table, "y", probability))


def test_labels_of_unlinked_tasks_are_groups_and_those_of_linked_ones_are_not():
    wrong = SITE == 1
    predicted = np.eye(2)[np.where(wrong, 1 - CODES, CODES)]
    columns = {"y": CODES, "where": SITE, "above": np.zeros(N, int)}
    tasks = [Task("y", "single", ("a", "b"), parent="above"), Task("where", "single", ("p", "q", "r", "s"))]
    linked = Task("above", "single", ("all", "none"))
    table = LabelTable.from_columns(columns, [*tasks, linked])
    assert [each.subject for each in underperforming_groups(table, "y", predicted)] == ["where = q"]
    below = [tasks[0], Task("where", "single", ("p", "q", "r", "s"), parent="y"), linked]
    assert not list(underperforming_groups(table.with_tasks(below), "y", predicted))


def test_missing_labels_and_values_are_left_out():
    wrong = SITE == 3
    table, probability = make(wrong)
    codes = np.where(wrong, -1, CODES)
    assert not list(underperforming_groups(table.with_labels("y", codes), "y", probability))

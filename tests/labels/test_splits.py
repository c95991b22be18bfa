import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.labels import LabelTable, Task, folds, split

CLASSES = tuple("abcdef")


def table(codes, groups=None, parts=None):
    columns = {"x": np.arange(len(codes)), "y": codes}
    if groups is not None:
        columns["g"] = groups
    if parts is not None:
        columns["s"] = parts
    return LabelTable.from_columns(
        columns,
        [Task("y", classes=CLASSES)],
        group=None if groups is None else "g",
        split=None if parts is None else "s",
    )


codes_lists = st.lists(st.integers(-1, 5), min_size=3, max_size=120)
seeds = st.integers(0, 100)


@given(codes_lists, st.integers(2, 12), seeds)
@pytest.mark.filterwarnings("ignore:.*folds instead of")
def test_folds_spread_every_class_and_the_missing_labels(codes, n_folds, seed):
    dealt = folds(table(codes), "y", n_folds, seed)
    used = min(n_folds, len(codes))
    sizes = np.bincount(dealt, minlength=used)
    assert dealt.dtype == np.int64
    assert len(sizes) == used
    assert np.ptp(sizes) <= 1
    for code in set(codes):
        assert np.ptp(np.bincount(dealt[np.array(codes) == code], minlength=used)) <= 1
    assert np.array_equal(dealt, folds(table(codes), "y", n_folds, seed))


@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 15)), min_size=4, max_size=120), st.integers(2, 6), seeds)
@pytest.mark.filterwarnings("ignore:.*folds instead of")
def test_groups_never_straddle_folds_and_no_fold_is_empty(rows, n_folds, seed):
    codes, groups = (np.array(column) for column in zip(*rows, strict=True))
    number = len(set(groups))
    if number < 2:
        return
    dealt = folds(table(codes, groups), "y", n_folds, seed)
    assert set(dealt) == set(range(min(n_folds, number)))
    for group in set(groups):
        assert len(set(dealt[groups == group])) == 1


def test_grouped_folds_balance_classes_as_well_as_scikit_learn_does():
    from sklearn.model_selection import StratifiedGroupKFold

    generator = np.random.default_rng(0)
    groups = generator.integers(0, 80, 4000)
    codes = (groups + generator.integers(0, 2, 4000)) % 6

    def imbalance(dealt):
        counts = np.array([np.bincount(codes[dealt == fold], minlength=6) for fold in range(5)])
        return (counts / counts.sum(axis=0)).std(axis=0).mean()

    theirs = np.empty(4000, int)
    for fold, (_, rows) in enumerate(StratifiedGroupKFold(5).split(codes, codes, groups)):
        theirs[rows] = fold
    assert imbalance(folds(table(codes, groups), "y", 5)) <= imbalance(theirs) * 1.1


def test_folds_without_task_are_even_and_other_seeds_deal_otherwise():
    plain = dataclasses.replace(table([0, 1] * 50), tasks=())
    assert set(np.bincount(folds(plain, n_folds=10))) == {10}
    assert not np.array_equal(folds(plain, seed=1), folds(plain, seed=2))


def test_too_few_rows_or_groups_for_folds():
    with pytest.warns(UserWarning, match="3 groups in column g: 3 folds instead of 10"):
        assert set(folds(table([0, 1, 0, 1, 0, 1], [1, 1, 2, 2, 3, 3]), "y")) == {0, 1, 2}
    with pytest.raises(ValueError, match="at least 2 groups in column g"):
        folds(table([0, 1], [7, 7]), "y")
    with pytest.raises(ValueError, match="at least 2; got 1"):
        folds(table([0, 1]), "y", 1)


@settings(deadline=None)
@given(codes_lists, seeds)
def test_split_keeps_the_shares_and_every_class_in_train(codes, seed):
    parts = split(table(codes), "y", seed=seed)
    n = len(codes)
    lacking = len(set(codes))
    for part, share in {"train": 0.7, "validation": 0.15, "test": 0.15}.items():
        assert abs((parts == part).sum() - share * n) <= 2 + lacking
    assert set(np.array(codes)[parts == "train"]) == set(codes)
    assert np.array_equal(parts, split(table(codes), "y", seed=seed))


def test_split_is_stratified():
    codes = np.repeat([0, 1, 2], [1000, 100, 20])
    parts = split(table(codes), "y")
    for code, number in ((0, 1000), (1, 100), (2, 20)):
        assert abs((parts[codes == code] == "test").sum() - 0.15 * number) <= 1


@given(st.lists(st.integers(0, 12), min_size=6, max_size=80), seeds)
def test_split_keeps_groups_whole(groups, seed):
    groups = np.array(groups)
    whole = table(np.arange(len(groups)) % 6, groups)
    if len(set(groups)) < 3:
        with pytest.raises(ValueError, match="need at least as many groups"):
            split(whole, "y", seed=seed)
        return
    parts = split(whole, "y", seed=seed)
    assert set(parts) == {"train", "validation", "test"}
    for group in set(groups):
        assert len(set(parts[groups == group])) == 1


def test_a_given_split_is_kept_and_validation_carved_out_of_train():
    given_parts = np.array(["train"] * 80 + ["test"] * 20)
    parts = split(table([0, 1] * 50, parts=given_parts), "y")
    assert np.array_equal(parts == "test", given_parts == "test")
    assert (parts == "validation").sum() == round(80 * 0.15 / 0.85)
    whole = table([0, 1, 0], parts=["train", "validation", "test"])
    assert split(whole).tolist() == ["train", "validation", "test"]
    with pytest.raises(ValueError, match="no row is in train"):
        split(table([0, 1], parts=["test", "test"]))


def test_a_share_of_nothing_gives_nothing():
    assert set(split(table([0, 1] * 10), shares=(0.8, 0.2, 0.0))) == {"train", "validation"}
    assert set(split(table([0, 1] * 10), shares=(1.0, 0.0, 0.0))) == {"train"}


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="shares of train"):
        split(table([0, 1, 2]), shares=shares)


def test_too_few_rows_to_split():
    with pytest.raises(ValueError, match="at least as many rows"):
        split(table([0, 1]))


def test_seeds_split_groups_differently():
    groups = np.repeat(np.arange(30), np.arange(1, 31))
    table = LabelTable.from_columns({"y": groups % 3, "g": groups}, [Task("y", classes=("a", "b", "c"))], group="g")
    assert len({split(table, seed=seed).tobytes() for seed in range(5)}) == 5

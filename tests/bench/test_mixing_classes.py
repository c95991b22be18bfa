import json
from functools import partial

import numpy as np
import pytest
import torch

from labelwise import bench
from labelwise.bench import mixing_classes, mixing_vit
from labelwise.bench.mixing_fits import _held_out, fit_labels, run
from labelwise.methods import Plan
from labelwise.models import vit_for

WAYS = {name: mixing_classes.WAYS[name] for name in ("cross-entropy", "cutmix", "rank-mixup")}


def stripes(seed):
    """Ten kinds of stripes; the first forty rows are learned from."""
    labels = np.arange(60) % 10
    pictures = torch.zeros(60, 1, 8, 10)
    pictures[torch.arange(60), 0, :, labels] = 1.0
    return pictures, labels, np.arange(40), np.arange(40, 60)


def test_a_short_run_is_complete_and_goes_on(tmp_path):
    plan = Plan(epochs=8, batch_size=20, patience=0, width=16)
    result = run("stripes", "Stripes.", {"stripes": stripes}, WAYS, range(2), plan, tmp_path, quiet=True)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    ((_, columns, rows),) = bench.tables(result)
    assert [row[0] for row in rows] == list(WAYS)
    assert all(len(row) == len(columns) for row in rows)
    assert all(0 <= value <= 1 for by in result["figures"]["stripes"].values() for value in by["accuracy"])
    again = run("stripes", "Stripes.", {"stripes": stripes}, WAYS, range(2), plan, tmp_path, quiet=True)
    assert again == result  # from the figures kept in the folder
    with pytest.raises(ValueError, match="problems"):
        run("stripes", "Stripes.", {"dots": stripes}, WAYS, range(2), plan, tmp_path, quiet=True)


@pytest.mark.parametrize(
    ("draw", "shape"),
    [(mixing_classes.digits, (1797, 1, 8, 8)), (partial(mixing_classes.cifar10, side=4), (7000, 3, 4, 4))],
)
def test_test_rows_are_the_same_for_every_seed_and_apart_from_the_others(draw, shape):
    pictures, labels, learned, tested = draw(200, seed=0)
    assert len(learned) == 200
    assert pictures.shape == shape
    assert len(labels) == len(pictures)
    assert not set(learned) & set(tested)
    assert np.array_equal(draw(200, seed=1)[3], tested)
    assert not np.array_equal(draw(200, seed=1)[2], learned)
    for rows in (learned, tested):  # no class is missing, none is half of the rows or more
        shares = np.bincount(labels[rows], minlength=10) / len(rows)
        assert 0.04 < shares.min() <= shares.max() < 0.2


def test_the_learning_rate_is_chosen_by_rows_that_are_learned_from(tmp_path):
    plan = Plan(epochs=1, batch_size=20, patience=0, width=8)
    asked = []

    def draw(seed):
        asked.append(seed)
        return stripes(seed)

    ways = {name: mixing_vit.WAYS[name] for name in ("cross-entropy", "smmix")}
    fit = partial(fit_labels, backbone=vit_for)
    result = run("x", "X.", {"stripes": draw}, ways, [3], plan, tmp_path, True, fit=fit, rates=(1e-4, 0.1))
    assert set(asked) == {3, 1_000_003, 1_000_004}
    assert set(result["learning_rates"]["stripes"].values()) <= {1e-4, 0.1}
    held_out = _held_out(stripes)(0)
    assert sorted([*held_out[2], *held_out[3]]) == list(range(40))
    assert len(held_out[3]) == 10

"""Data with sets of labels for the comparison `mixing-sets`."""

import gzip
import io
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from labelwise.labels import data_path

_POOL, _TRAIN, _TEST = 1200, 2000, 1000  # digits that training rows are made of; rows of digits in threes


class Sets(NamedTuple):
    """Rows to learn from and to test on: inputs float32 `[n, d]` and sets float32 `[n, classes]` of each."""

    inputs: Tensor
    sets: Tensor
    test_inputs: Tensor
    test_sets: Tensor


def threes(seed: int) -> Sets:
    """Three places side by side, each with a digit of 8 × 8 pixels with a chance of 0.6; the set says which digits.

    Rows to learn from and to test on are made of different digits.
    """
    pictures, labels = load_digits(return_X_y=True)
    generator = np.random.default_rng(seed)
    order = np.random.default_rng(0).permutation(len(labels))
    found: list[Tensor] = []
    for pool, rows in ((order[:_POOL], _TRAIN), (order[_POOL:], _TEST)):
        drawn = generator.choice(pool, (rows, 3))
        present = generator.random((rows, 3)) < 0.6
        sets = np.zeros((rows, 10))
        row, place = present.nonzero()
        sets[row, labels[drawn[row, place]]] = 1
        inputs = pictures[drawn] / 16 * present[..., None]
        found += [torch.from_numpy(inputs.reshape(rows, -1)).float(), torch.from_numpy(sets).float()]
    return Sets(*found)


@cache
def mulan(name: str) -> Sets:
    """One of the dense sets of Mulan, official split, inputs standardised by the training rows.

    Raises `ValueError` if the data are not at hand.
    """
    folder = data_path("multilabel") / name
    tree = ET.parse(folder / f"{name}.xml")
    labels = [each.attrib["name"] for each in tree.iter() if each.tag.endswith("label")]
    (inputs, sets), (test_inputs, test_sets) = (
        _read(folder / f"{name}-{part}.arff.gz", labels) for part in ("train", "test")
    )
    spread, centre = torch.std_mean(inputs, 0)
    spread = spread.clamp(min=1e-6)
    return Sets((inputs - centre) / spread, sets, (test_inputs - centre) / spread, test_sets)


def _read(path: Path, labels: list[str]) -> tuple[Tensor, Tensor]:
    """Inputs and sets; what is no label is an input, as the order of labels is not that of columns."""
    from scipy.io import arff

    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows, _ = arff.loadarff(io.StringIO(file.read()))
    columns = {name: torch.from_numpy(rows[name].astype(np.float32)) for name in rows.dtype.names}
    inputs = [values for name, values in columns.items() if name not in labels]
    return torch.stack(inputs, 1), torch.stack([columns[name] for name in labels], 1)

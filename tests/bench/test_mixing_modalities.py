import numpy as np
import torch

from labelwise.bench import mixing_modalities
from labelwise.bench.mixing_modalities import pairs


def test_pairs_are_of_one_digit_and_test_pairs_are_the_same_for_every_seed(monkeypatch):
    numbered = torch.arange(300.0)[:, None]
    known = np.arange(300) % 10, np.arange(300) >= 200
    monkeypatch.setattr(mixing_modalities, "_recordings", lambda side: (numbered.expand(-1, side**2), *known))
    monkeypatch.setattr(mixing_modalities, "_pictures", lambda side: (1000 + numbered.expand(-1, side**2), *known))
    inputs, labels, learned, tested = pairs(40, 3, 2, 0)
    assert inputs.shape == (1040, 13)
    assert np.array_equal(np.bincount(labels[learned]), np.full(10, 4))
    assert np.array_equal(np.bincount(labels[tested]), np.full(10, 100))
    for part, first in ((slice(0, 9), 0), (slice(9, 13), 1000)):
        numbers = inputs[:, part].mean(1).round().long().numpy() - first
        assert np.array_equal(known[0][numbers], labels)
        assert np.array_equal(known[1][numbers], np.arange(1040) >= 40)
    again, other_labels, _, _ = pairs(40, 3, 2, 1)
    assert torch.equal(inputs[tested], again[tested])
    assert np.array_equal(labels[tested], other_labels[tested])
    assert not torch.equal(inputs[learned], again[learned])

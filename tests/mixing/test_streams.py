import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torchmetrics.functional import pearson_corrcoef

from labelwise.functional import adaptive_label_weight, mix_partners
from labelwise.mixing import AdpMix, EnMix, Mixup

SHARES = st.floats(0, 1)
COUNTS = st.floats(0.01, 100)


def double(*values):
    return (torch.tensor([value], dtype=torch.float64) for value in values)


@given(SHARES, COUNTS, COUNTS)
def test_the_label_of_the_rarer_class_counts_more(share, count, other):
    weight, own, their = double(share, count, other)
    found = adaptive_label_weight(weight, own, their)
    back = adaptive_label_weight(1 - weight, their, own)
    torch.testing.assert_close(found + back, torch.ones_like(found))
    assert (found - weight) * (their - own) >= -1e-12
    torch.testing.assert_close(adaptive_label_weight(weight, own, own), weight)
    limited = torch.maximum(own, their / 3) if other > count else torch.minimum(own, their * 3)
    torch.testing.assert_close(
        adaptive_label_weight(weight, own, their, 3.0), adaptive_label_weight(weight, limited, their)
    )


def test_ends_stay_ends():
    weight, counts = torch.tensor([0.0, 1.0]), torch.tensor([5.0, 5.0])
    for other in (1.0, 5.0, 500.0):
        assert torch.equal(adaptive_label_weight(weight, counts, torch.full((2,), other)), weight)


def noisy(inputs, generator):
    return inputs + 0.5 * torch.randn(inputs.shape, generator=generator)


def test_unchanged_versions_make_it_mixup():
    inputs = torch.randn(9, 4)
    one = EnMix(lambda inputs, generator: inputs, 0.7)(inputs, torch.Generator().manual_seed(3))
    other = Mixup(0.7)(inputs, torch.Generator().manual_seed(3))
    for mine, theirs in zip(one[:4], other[:4], strict=True):
        torch.testing.assert_close(mine, theirs)
    changed = EnMix(noisy, 0.0)(inputs, torch.Generator().manual_seed(3))
    assert torch.equal(changed.label_weight, torch.ones(9))
    assert not torch.allclose(changed.inputs, inputs)


def test_mixtures_of_changed_digits_are_least_like_the_originals():
    digits = torch.from_numpy(load_digits().data[:300]).float() / 16
    generator = torch.Generator().manual_seed(0)

    def likeness(changed):
        return pearson_corrcoef(changed.T, digits.T).mean()

    mixed = likeness(Mixup(1.0, mode="example")(digits, generator).inputs)
    both = likeness(EnMix(noisy, 1.0, mode="example")(digits, generator).inputs)
    assert both < min(mixed, likeness(noisy(digits, generator)))


def test_old_are_mixed_with_new_and_new_with_old():
    inputs, old = torch.randn(12, 3), torch.arange(12) % 3 == 0
    counts = torch.where(old, 2.0, 8.0)
    before = inputs.clone()
    mixed = AdpMix(mode="example")(inputs, old, counts, torch.Generator().manual_seed(0))
    assert torch.equal(inputs, before)
    assert (old[mixed.partner] != old).all()
    torch.testing.assert_close(mixed.inputs, mix_partners(inputs, mixed.partner, mixed.weight))
    assert (mixed.label_weight > mixed.weight)[old].all()
    assert (mixed.label_weight < mixed.weight)[~old].all()
    targets = mixed.targets(torch.arange(12) % 3, 3)
    torch.testing.assert_close(targets.sum(1), torch.ones(12))
    alone = AdpMix()(inputs, torch.ones(12, dtype=torch.bool), counts)
    assert torch.equal(alone.partner, torch.arange(12))
    assert alone.label_weight.isfinite().all()
    with pytest.raises(ValueError, match="limit must be at least 1"):
        AdpMix(limit=0.5)

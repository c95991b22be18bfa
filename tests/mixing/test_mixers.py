import pytest
import torch
import torch.nn.functional as F

from labelwise.functional import masked_cross_entropy
from labelwise.mixing import CutMix, Mixup


def pictures():
    return torch.randn(6, 2, 8, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("mixer", [Mixup(0.4), Mixup(0.4, own_half=True), CutMix(1.0)])
def test_equal_generators_give_equal_mixtures_and_the_inputs_stay(mixer):
    inputs = pictures()
    before = inputs.clone()
    one, two = (mixer(inputs, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(inputs, before)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert one.partner.sort().values.tolist() == list(range(6))


@pytest.mark.parametrize("mixer", [Mixup(0.0), Mixup(0.0, own_half=True), CutMix(0.0)])
def test_a_share_of_one_gives_the_inputs_back(mixer):
    mixed = mixer(pictures())
    assert torch.equal(mixed.inputs, pictures())
    assert (mixed.weight == 1).all()


def test_mixup_adds_in_shares():
    mixed = Mixup(1.0)(pictures(), torch.Generator().manual_seed(1))
    torch.testing.assert_close(mixed.inputs, mixed.share(pictures()))
    torch.testing.assert_close(mixed.inputs.mean(0), pictures().mean(0))


def test_own_half_is_the_larger_share():
    for seed in range(20):
        assert (Mixup(0.5, own_half=True)(pictures(), torch.Generator().manual_seed(seed)).weight >= 0.5).all()


def test_weights_are_the_area_that_stayed():
    for seed in range(20):
        inputs = pictures()
        mixed = CutMix(1.0)(inputs, torch.Generator().manual_seed(seed))
        moved = mixed.partner != torch.arange(6)
        stayed = (mixed.inputs == inputs).all(1).flatten(1).double().mean(1)
        torch.testing.assert_close(stayed[moved], mixed.weight[moved])
        pasted = mixed.inputs != inputs
        assert torch.equal(mixed.inputs[pasted], inputs[mixed.partner][pasted])


def test_the_mixed_loss_is_cross_entropy_with_mixed_targets():
    mixed = Mixup(1.0)(pictures(), torch.Generator().manual_seed(1))
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 1, 0])
    targets = mixed.share(F.one_hot(labels, 4).double())
    losses = mixed.loss(masked_cross_entropy, logits, labels)
    soft = F.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(losses, soft)
    slopes = [torch.autograd.grad(each.sum(), logits, retain_graph=True)[0] for each in (losses, soft)]
    torch.testing.assert_close(*slopes)


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(ValueError, match=r"CutMix takes pictures .* got \[3, 5\]"):
        CutMix()(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="alpha must be at least 0; got -1"):
        Mixup(-1.0)
    assert len(Mixup()(torch.zeros(1, 5)).inputs) == 1

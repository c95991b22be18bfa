import math

import pytest
import torch
import torch.nn.functional as F

from labelwise.functional import (
    decoupled_mixup_loss,
    decoupled_mixup_targets,
    mixed_targets,
    mixup_ndcg_loss,
    mixup_ranking_loss,
)

N, C = 7, 5
OWN, OTHER = torch.tensor([0, 3, 2, 1, 4, 2, 0]), torch.tensor([1, 0, 2, 4, 3, 1, 0])  # rows 2 and 6 of one class


def given():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(N, C, generator=generator, dtype=torch.float64, requires_grad=True)
    return logits, torch.rand(N, generator=generator, dtype=torch.float64)


def plain(logits, weight):
    own, other = (F.cross_entropy(logits, labels, reduction="none") for labels in (OWN, OTHER))
    return weight * own + (1 - weight) * other


def slope(losses, inputs):
    return torch.autograd.grad(losses.sum(), inputs, retain_graph=True)[0]


def test_mixed_targets_of_every_kind_keep_their_sum():
    partner, weight = torch.tensor([2, 0, 1]), torch.tensor([0.25, 1.0, 0.5])
    classes = mixed_targets(torch.tensor([0, 2, -1]), partner, weight, 3)
    assert classes.tolist() == [[0.25, 0, 0], [0, 0, 1], [0, 0, 0.5]]
    soft = torch.softmax(torch.randn(3, 4), -1)
    torch.testing.assert_close(mixed_targets(soft, partner, weight).sum(1), torch.ones(3))
    sets = torch.tensor([[1.0, 0], [1, 1], [0, 0]])
    assert mixed_targets(sets, partner, weight).tolist() == [[0.25, 0], [1, 1], [0.5, 0.5]]
    assert mixed_targets(torch.tensor([0.0, 4, 8]), partner, weight).tolist() == [6, 4, 6]
    with pytest.raises(ValueError, match="give `classes`"):
        mixed_targets(torch.tensor([0, 1]), torch.tensor([1, 0]), torch.ones(2))


def test_without_strength_it_is_mixup():
    logits, weight = given()
    loss = decoupled_mixup_loss(logits, OWN, OTHER, weight, strength=0)
    torch.testing.assert_close(loss, plain(logits, weight))
    torch.testing.assert_close(slope(loss, logits), slope(plain(logits, weight), logits))


def test_the_decoupled_part_by_hand():
    logits, weight = given()
    odds = logits.exp()
    own = torch.stack(
        [-(odds[i, a] / (odds[i].sum() - odds[i, b])).log() for i, (a, b) in enumerate(zip(OWN, OTHER, strict=True))]
    )
    other = torch.stack(
        [-(odds[i, b] / (odds[i].sum() - odds[i, a])).log() for i, (a, b) in enumerate(zip(OWN, OTHER, strict=True))]
    )
    two = OWN != OTHER
    for terms, kept in (
        ("both", (1, 1)),
        ("more", (weight >= 0.5, weight < 0.5)),
        ("less", (weight < 0.5, weight >= 0.5)),
    ):
        for exponent, threshold in ((0, 1), (1, 1), (0.5, 0.4)):
            h = [(share / threshold).clamp(max=1) ** exponent for share in (weight, 1 - weight)]
            extra = kept[0] * h[0] * own + kept[1] * h[1] * other
            expected = plain(logits, weight) + 0.3 * torch.where(two, extra, 0)
            found = decoupled_mixup_loss(logits, OWN, OTHER, weight, 0.3, terms, exponent, threshold)
            torch.testing.assert_close(found[two], expected[two])
            torch.testing.assert_close(found[~two], F.cross_entropy(logits, OWN, reduction="none")[~two])


def test_the_other_class_does_not_compete():
    logits, weight = given()
    extra = decoupled_mixup_loss(logits, OWN, OTHER, weight, 1.0, "both", 0) - plain(logits, weight)
    pull = slope(extra, logits)
    rows = (OWN != OTHER).nonzero().flatten()
    odds = logits.exp()
    phi = odds[rows, OWN[rows]] / (odds[rows].sum(1) - odds[rows, OTHER[rows]])
    torch.testing.assert_close(pull[rows, OWN[rows]], phi - 1)  # whatever the share is
    assert (pull[OWN == OTHER] == 0).all()


def test_swapping_both_sides_and_shifting_logits_changes_nothing():
    logits, weight = given()
    loss = decoupled_mixup_loss(logits, OWN, OTHER, weight, 0.5, exponent=0.5)
    torch.testing.assert_close(decoupled_mixup_loss(logits, OTHER, OWN, 1 - weight, 0.5, exponent=0.5), loss)
    torch.testing.assert_close(decoupled_mixup_loss(logits + 3, OWN, OTHER, weight, 0.5, exponent=0.5), loss)


@pytest.mark.parametrize("terms", ["both", "more", "less"])
def test_two_classes_or_whole_shares_leave_mixup(terms):
    logits, weight = given()
    own, other = OWN % 2, OTHER % 2
    pair = decoupled_mixup_loss(logits[:, :2], own, other, weight, 1.0, terms, 0)
    expected = weight * F.cross_entropy(logits[:, :2], own, reduction="none")
    expected = expected + (1 - weight) * F.cross_entropy(logits[:, :2], other, reduction="none")
    torch.testing.assert_close(pair, expected)
    assert slope(pair, logits).isfinite().all()
    whole = decoupled_mixup_loss(logits, OWN, OTHER, torch.ones(N, dtype=torch.float64), 1.0, terms, 0)
    torch.testing.assert_close(whole, F.cross_entropy(logits, OWN, reduction="none"))
    with pytest.raises(ValueError, match="both, more or less"):
        decoupled_mixup_loss(logits, OWN, OTHER, weight, terms="all")


def test_targets_for_binary_losses_may_hold_two():
    weight = torch.tensor([0.8, 0.5, 0.1, 1.0, 0.0, 0.3, 0.3])
    targets = decoupled_mixup_targets(OWN, OTHER, weight, C, 0.5, 0.5)
    torch.testing.assert_close(targets[0, :2], torch.tensor([1.0, 0.4**0.5]))
    assert targets[1, [3, 0]].tolist() == [1, 1]
    assert targets[3, [1, 4]].tolist() == [1, 0]
    assert targets[4, [3, 4]].tolist() == [1, 0]
    assert targets.max() == 1
    torch.testing.assert_close(decoupled_mixup_targets(OWN, OTHER, weight, C, 1, 1).sum(1), torch.ones(N))


def test_ranking_counts_each_example_by_itself():
    logits, _ = given()
    mixed = torch.randn(N, C, dtype=torch.float64, requires_grad=True)
    same = OWN == OTHER
    hinge = (mixed.max(1).values - logits.max(1).values + 2).clamp(min=0)
    loss = mixup_ranking_loss(logits, mixed, same)
    torch.testing.assert_close(loss, torch.where(same, 0, hinge))
    torch.testing.assert_close(mixup_ranking_loss(logits + 5, mixed + 5, same), loss)
    assert not torch.equal(mixup_ranking_loss(logits + 5, mixed, same), loss)
    product = mixup_ranking_loss(logits, mixed, same, as_released=True).mean()
    torch.testing.assert_close(product, (~same).double().mean() * hinge.mean())
    active = (loss > 0).double()
    for inputs, sign in ((mixed, 1), (logits, -1)):
        expected = sign * active[:, None] * F.one_hot(inputs.argmax(1), C)
        torch.testing.assert_close(slope(loss, inputs), expected)
    assert (mixup_ranking_loss(logits + 100, mixed, same) == 0).all()


def ndcg(m, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(N, C, generator=generator, dtype=torch.float64)
    mixed = torch.randn(m, N, C, generator=generator, dtype=torch.float64)
    share = torch.rand(m, N, 1, generator=generator, dtype=torch.float64)
    targets = share * F.one_hot(OWN, C) + (1 - share) * F.one_hot((OWN + 1) % C, C)
    return logits, mixed, targets


def test_ndcg_with_one_mixture_in_closed_form():
    logits, mixed, targets = ndcg(1)
    c0, c1, q = logits.softmax(1).amax(1), mixed[0].softmax(1).amax(1), targets[0].amax(1)
    ratio = (c0 + c1 / math.log2(3)) / (1 + q / math.log2(3))
    torch.testing.assert_close(mixup_ndcg_loss(logits, mixed, targets), 1 - torch.minimum(ratio, 1 / ratio))


def test_ndcg_is_blind_to_the_order_of_copies_and_zero_at_the_ideal():
    logits, mixed, targets = ndcg(3)
    loss = mixup_ndcg_loss(logits, mixed, targets)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(mixup_ndcg_loss(logits, mixed[order], targets[order]), loss)
    assert ((loss >= 0) & (loss < 1)).all()
    sure = 60.0 * F.one_hot(OWN, C).double()
    ideal = mixup_ndcg_loss(sure, targets.clamp(min=1e-300).log(), targets)
    torch.testing.assert_close(ideal, torch.zeros(N, dtype=torch.float64))

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from labelwise.functional import supremix_loss
from labelwise.mixing import SupReMix, beta_weights

LABELS = st.lists(st.integers(-20, 20), max_size=9).map(lambda values: torch.tensor(values, dtype=torch.float64) / 2)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@given(LABELS, st.sampled_from([0.0, 0.5, 3.0, torch.inf]))
def test_positives_are_all_pairs_around_an_anchor_within_the_window_and_have_its_label(labels, window):
    pairs = SupReMix(window).positives(labels)
    found = set(zip(pairs.anchor.tolist(), pairs.first.tolist(), pairs.second.tolist(), strict=True))
    y, n = labels.tolist(), range(len(labels))
    assert len(found) == len(pairs.anchor)
    assert found == {
        (i, j, k) for i in n for j in n for k in n if y[j] < y[i] < y[k] and max(y[i] - y[j], y[k] - y[i]) < window
    }
    torch.testing.assert_close(pairs.mix(labels), labels[pairs.anchor], rtol=0, atol=1e-12)


@given(LABELS)
def test_negatives_are_the_anchor_with_each_of_another_label_and_lie_between(labels):
    pairs = SupReMix().negatives(labels, seeded())
    found = set(zip(pairs.anchor.tolist(), pairs.second.tolist(), strict=True))
    n = range(len(labels))
    assert len(found) == len(pairs.anchor)
    assert found == {(i, k) for i in n for k in n if labels[i] != labels[k]}
    assert torch.equal(pairs.first, pairs.anchor)
    mixed, own, other = pairs.mix(labels), labels[pairs.anchor], labels[pairs.second]
    assert (torch.minimum(own, other) <= mixed).all()
    assert (mixed <= torch.maximum(own, other)).all()
    torch.testing.assert_close((mixed - own).abs(), (1 - pairs.weight) * (own - other).abs())


def test_shares_are_of_the_beta_distribution_and_those_of_negatives():
    labels = torch.arange(100.0, dtype=torch.float64)
    pairs = SupReMix(alpha=2, beta=8)
    shares = pairs.shares(labels, seeded())
    assert abs(shares.mean() - 0.2) < 0.01
    assert abs(shares.var() - 0.2 * 0.8 / 11) < 0.001
    negatives = pairs.negatives(labels, seeded())
    assert torch.equal(negatives.weight, shares[negatives.anchor, negatives.second])
    assert torch.equal(shares.flatten(), beta_weights(2, 10_000, seeded(), "example", beta=8))
    alone = SupReMix(alpha=0).negatives(labels)
    assert torch.equal(alone.mix(labels), labels[alone.anchor])


def test_the_loss_is_the_one_of_the_mixtures_made():
    z = F.normalize(torch.randn(9, 4, dtype=torch.float64, generator=seeded()), dim=1).requires_grad_()
    y = torch.tensor([0, 1, 2, 3.5, 0, 1, 2, 9, 4], dtype=torch.float64)
    pairs = SupReMix(2.5)
    positives, negatives = pairs.positives(y), pairs.negatives(y, seeded(1))
    similarity, losses = z @ z.T / 0.3, []
    for i in range(9):
        others = torch.arange(9) != i
        near = positives.mix(z.detach())[positives.anchor == i] @ z[i] / 0.3
        at = negatives.anchor == i
        far = negatives.mix(z.detach())[at] @ z[i] / 0.3 + torch.log1p((negatives.mix(y)[at] - y[i]).abs())
        real = similarity[i, others] + torch.log1p((y[others] - y[i]).abs())
        same = torch.cat([similarity[i, others & (y == y[i])], near])
        whole = torch.cat([real, near, far]).logsumexp(0)
        losses.append(whole - same.mean() if len(same) else 0 * whole)
    ours, made = supremix_loss(z, y, pairs.shares(y, seeded(1)), window=2.5), torch.stack(losses)
    torch.testing.assert_close(ours, made)
    torch.testing.assert_close(*(torch.autograd.grad(each.sum(), z)[0] for each in (ours, made)))


@pytest.mark.parametrize("kind", [torch.int64, torch.float32, torch.float64])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_labels_and_embeddings_may_differ_in_precision(kind, precision):
    z = F.normalize(torch.randn(6, 4, dtype=torch.float64, generator=seeded()), dim=1)
    y, pairs = torch.tensor([0, 1, 2, 4, 1, 9]), SupReMix()
    shares, negatives = pairs.shares(y.to(kind), seeded()), pairs.negatives(y.to(kind), seeded())
    assert shares.dtype == (torch.float32 if kind == torch.int64 else kind)
    loss = supremix_loss(z.to(precision), y.to(kind), shares)
    assert loss.dtype == negatives.mix(z.to(precision)).dtype == precision
    torch.testing.assert_close(loss.double(), supremix_loss(z, y.double(), shares.double()), rtol=1e-5, atol=1e-5)


def test_the_zero_of_labels_and_their_direction_change_no_pair():
    y = torch.tensor([0, 1, 2, 3.5, 0, 9], dtype=torch.float64)
    pairs = SupReMix(3.0)
    plain, mirrored = pairs.positives(y), pairs.positives(-y)
    assert all(torch.equal(one, other) for one, other in zip(plain, pairs.positives(y + 64), strict=True))
    order = (mirrored.anchor * 100 + mirrored.second * 10 + mirrored.first).argsort()  # as `plain` has them
    assert torch.equal(torch.stack(mirrored[:3])[:, order], torch.stack([plain.anchor, plain.second, plain.first]))
    torch.testing.assert_close(mirrored.weight[order], 1 - plain.weight)
    for one, other in zip(pairs.negatives(y, seeded()), pairs.negatives(-y, seeded()), strict=True):
        assert torch.equal(one, other)


def test_what_is_no_parameter_is_refused():
    for name, value in (("window", -1.0), ("window", float("nan")), ("alpha", -1.0), ("beta", 0.0)):
        with pytest.raises(ValueError, match=f"{name} must be .*; got"):
            SupReMix(**{name: value})

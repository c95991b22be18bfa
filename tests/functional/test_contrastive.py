import pytest
import torch
import torch.nn.functional as F

from labelwise.functional import (
    m3_mixup_contrastive_loss,
    metrix_contrastive,
    metrix_multi_similarity,
    metrix_proxy_anchor,
    mixture_similarity,
    soft_clip_loss,
    soft_info_nce,
    supremix_loss,
)

METRIX = (metrix_contrastive, metrix_multi_similarity, metrix_proxy_anchor)


def rows(n=6, d=4, seed=0, gradient=False):
    values = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return F.normalize(values, dim=1).requires_grad_(gradient)


def test_whole_shares_give_the_loss_of_clip():
    one, two = rows(), rows(seed=1)
    loss = m3_mixup_contrastive_loss(one, two, torch.randperm(6), torch.ones(6, dtype=torch.float64), 0.2)
    logits, here = one @ two.T / 0.2, torch.arange(6)
    torch.testing.assert_close(loss.mean(), (F.cross_entropy(logits, here) + F.cross_entropy(logits.T, here)) / 2)


def test_a_row_that_is_its_own_partner_keeps_its_weight():
    partner, weight = torch.tensor([0, 2, 1]), torch.tensor([0.3, 0.6, 1.0], dtype=torch.float64)
    targets = torch.tensor([[1.0, 0, 0], [0, 0.6, 0.4], [0, 0, 1]], dtype=torch.float64)
    one, two = rows(3), rows(3, seed=1)
    loss = m3_mixup_contrastive_loss(one, two, partner, weight)
    torch.testing.assert_close(loss, soft_info_nce(one, two, targets))
    torch.testing.assert_close(m3_mixup_contrastive_loss(3 * one, two * torch.rand(3, 1), partner, weight), loss)
    order = torch.tensor([2, 0, 1])
    moved = order.argsort()[partner[order]]
    torch.testing.assert_close(
        m3_mixup_contrastive_loss(one[order], two[order], moved, weight[order]).mean(), loss.mean()
    )
    entropy = -torch.xlogy(targets, targets).sum(1).mean() / 2
    assert loss.mean() >= entropy
    alone = m3_mixup_contrastive_loss(one[:1], two[:1], partner[:1], weight[:1])
    torch.testing.assert_close(alone, torch.zeros_like(alone))


def test_soft_clip_has_its_targets_inside():
    same = torch.eye(4, dtype=torch.float64)
    shares = torch.softmax(same / 0.5, -1)
    torch.testing.assert_close(soft_clip_loss(same, same, 0.5), -torch.xlogy(shares, shares).sum(1))
    assert soft_clip_loss(rows(), rows(), 1e-3).max() < 1e-6
    one, two = rows(gradient=True), rows(seed=1, gradient=True)
    soft_clip_loss(one, two).mean().backward()
    assert one.grad.abs().sum() > 0
    assert two.grad.abs().sum() > 0


def similarities():
    return rows() @ rows(9, seed=1).T


@pytest.mark.parametrize("loss", METRIX)
def test_shares_of_0_and_1_are_clean_examples(loss):
    s = similarities()
    labels = (torch.rand(6, 9) < 0.4).double()
    counted = torch.rand(6, 9) < 0.8
    whole = loss(s, labels, counted)
    for row in range(6):  # what is not counted can as well be away
        kept = counted[row]
        alone = loss(s[row : row + 1, kept], labels[row : row + 1, kept], counted[row : row + 1, kept])
        torch.testing.assert_close(whole[row], alone[0])
    nothing = loss(s, labels, torch.zeros_like(counted))
    assert (nothing == 0).all()


def test_the_contrastive_row_is_linear_in_the_share():
    s, y = similarities(), torch.rand(6, 9, dtype=torch.float64)
    expected = (y * -s + (1 - y) * (s - 0.1).clamp(min=0)).sum(1)
    torch.testing.assert_close(metrix_contrastive(s, y, torch.ones(6, 9, dtype=torch.bool), 0.1), expected)


def test_multi_similarity_and_proxy_anchor_by_hand():
    s, y, all_ = similarities(), torch.rand(6, 9, dtype=torch.float64), torch.ones(6, 9, dtype=torch.bool)
    positive = torch.log1p((y * torch.exp(-2 * (s - 0.3))).sum(1)) / 2
    negative = torch.log1p(((1 - y) * torch.exp(5 * (s - 0.3))).sum(1)) / 5
    torch.testing.assert_close(metrix_multi_similarity(s, y, all_, 2, 5, 0.3), positive + negative)
    positive = torch.log1p((y * torch.exp(-4 * (s - 0.1))).sum(1))
    negative = torch.log1p(((1 - y) * torch.exp(4 * (s + 0.1))).sum(1))
    torch.testing.assert_close(metrix_proxy_anchor(s, y, all_, 4, 0.1), positive + negative)


@pytest.mark.parametrize("loss", METRIX)
def test_hard_labels_and_large_scales_give_finite_gradients(loss):
    s = torch.full((2, 3), 1.0, requires_grad=True)
    labels = torch.tensor([[1.0, 0, 0], [0, 0, 0]])
    loss(s * 50, labels, torch.tensor([[True] * 3, [True, False, False]])).sum().backward()
    assert s.grad.isfinite().all()


def test_similarity_with_mixtures_that_are_never_made():
    anchors, examples = 3 * rows(4, gradient=True), 2 * rows(7, seed=1, gradient=True)
    positive, negative = torch.randint(7, (4, 5)), torch.randint(7, (4, 5))
    weight = torch.rand(4, 5, dtype=torch.float64)
    found = mixture_similarity(anchors, examples, positive, negative, weight)
    mixtures = weight[..., None] * examples[positive] + (1 - weight[..., None]) * examples[negative]
    expected = F.cosine_similarity(anchors[:, None], mixtures, dim=2)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(each.sum(), (anchors, examples), retain_graph=True) for each in (found, expected)]
    torch.testing.assert_close(*slopes)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    torch.testing.assert_close(mixture_similarity(anchors @ turn, examples @ turn, positive, negative, weight), found)


def test_mixtures_that_cancel_have_finite_gradients():
    examples = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    half = torch.full((1, 1), 0.5)
    first, second = torch.tensor([[0]]), torch.tensor([[1]])
    mixture_similarity(examples[:1], examples, first, second, half).sum().backward()
    assert examples.grad.isfinite().all()


def supervised_contrastive(z, y, temperature, weights=None):
    losses = []
    for i in range(len(y)):
        others = [a for a in range(len(y)) if a != i]
        w = torch.ones(len(y), dtype=z.dtype) if weights is None else weights[i]
        bottom = torch.stack([w[a] * torch.exp(z[i] @ z[a] / temperature) for a in others]).sum().log()
        tops = [z[i] @ z[a] / temperature for a in others if y[a] == y[i]]
        losses.append(bottom - torch.stack(tops).mean() if tops else torch.zeros((), dtype=z.dtype))
    return torch.stack(losses)


def test_bare_supremix_is_supervised_contrastive():
    z, y = rows(8), torch.tensor([0.0, 1, 2, 3, 0, 1, 2, 9])
    torch.testing.assert_close(supremix_loss(z, y, None, 0.3, None, False), supervised_contrastive(z, y, 0.3))
    weights = (y[:, None] - y).abs().double() + 1
    torch.testing.assert_close(supremix_loss(z, y, None, 0.3, None), supervised_contrastive(z, y, 0.3, weights))
    same = torch.zeros(8)
    shares = torch.full((8, 8), 0.2, dtype=torch.float64)
    torch.testing.assert_close(supremix_loss(z, same, shares), supervised_contrastive(z, same, 0.3))


def whole_loss(z, y, shares, temperature, window):
    """As the equations are written, one sum for each anchor."""
    fixed, losses = z.detach(), []
    for i in range(len(y)):
        bottom, tops = torch.zeros((), dtype=z.dtype), []
        for a in range(len(y)):
            if a != i:
                bottom = bottom + ((y[i] - y[a]).abs() + 1) * torch.exp(z[i] @ z[a] / temperature)
                tops += [z[i] @ z[a] / temperature] if y[a] == y[i] else []
            if y[a] != y[i]:
                m = shares[i, a] * fixed[i] + (1 - shares[i, a]) * fixed[a]
                far = (y[i] - (shares[i, a] * y[i] + (1 - shares[i, a]) * y[a])).abs() + 1
                bottom = bottom + far * torch.exp(z[i] @ m / temperature)
            for k in range(len(y)):
                if y[a] < y[i] < y[k] and y[i] - y[a] < window and y[k] - y[i] < window:
                    share = (y[k] - y[i]) / (y[k] - y[a])
                    near = z[i] @ (share * fixed[a] + (1 - share) * fixed[k]) / temperature
                    bottom = bottom + torch.exp(near)
                    tops.append(near)
        losses.append(bottom.log() - torch.stack(tops).mean() if tops else torch.zeros((), dtype=z.dtype))
    return torch.stack(losses)


def test_supremix_as_it_is_written_value_and_gradient():
    z, y = rows(8, gradient=True), torch.tensor([0.0, 1, 2, 3.5, 0, 1, 2, 9], dtype=torch.float64)
    shares = torch.rand(8, 8, dtype=torch.float64)
    ours, plain = supremix_loss(z, y, shares, 0.3, 2.0), whole_loss(z, y, shares, 0.3, 2.0)
    torch.testing.assert_close(ours, plain)
    slopes = [torch.autograd.grad(each.sum(), z)[0] for each in (ours, plain)]
    torch.testing.assert_close(*slopes)


def test_what_changes_supremix_and_what_does_not():
    z, y, shares = rows(8), torch.tensor([0.0, 1, 2, 3.5, 0, 1, 2, 9]), torch.rand(8, 8, dtype=torch.float64)
    loss = supremix_loss(z, y, shares)
    torch.testing.assert_close(supremix_loss(z, y + 100, shares), loss)
    torch.testing.assert_close(supremix_loss(z, -y, shares), loss)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    torch.testing.assert_close(supremix_loss(z @ turn, y, shares), loss)
    assert (supremix_loss(z, y, shares, window=None) >= supremix_loss(z, y, None, window=None, weighted=False)).all()
    # A difference of exactly the window is outside.
    short = torch.tensor([0.0, 2, 4], dtype=torch.float64)
    assert torch.equal(supremix_loss(z[:3], short, window=2.0), torch.zeros(3, dtype=torch.float64))
    assert supremix_loss(z[:3], short, window=2.1)[1] > 0
    assert torch.equal(supremix_loss(z[:1], short[:1]), torch.zeros(1, dtype=torch.float64))


def test_mixtures_are_constants():
    z = rows(3, gradient=True)
    y = torch.tensor([0.0, 1, 2], dtype=torch.float64)
    supremix_loss(z, y, None, window=1.5)[1].backward()
    only_pairs = z.detach().clone().requires_grad_()
    # What rows 0 and 2 get is from their own terms in the denominator, which can but push them away.
    bottom = torch.exp(only_pairs[1] @ only_pairs[[0, 2]].T / 0.3) * 2
    between = torch.exp(only_pairs[1] @ (z.detach()[0] + z.detach()[2]) / 2 / 0.3)
    (bottom.sum() + between).log().backward()
    torch.testing.assert_close(z.grad[[0, 2]], only_pairs.grad[[0, 2]])

import torch

from labelwise.functional import virtual_step


def test_a_virtual_step_is_a_step_and_can_be_differentiated():
    weight = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    spare = torch.ones(1, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    stepped = virtual_step({"weight": weight, "spare": spare}, scale * (weight**2).sum(), 0.1)
    torch.testing.assert_close(stepped["weight"], weight - 0.1 * 2 * 3 * weight)
    torch.testing.assert_close(stepped["spare"], spare)
    assert torch.equal(weight.detach(), torch.tensor([1.0, 2.0], dtype=torch.float64))
    # d/d scale of sum(w - 0.2 scale w) = -0.2 sum(w)
    (slope,) = torch.autograd.grad(stepped["weight"].sum(), scale)
    torch.testing.assert_close(slope, -0.2 * weight.detach().sum())


def test_a_margin_that_is_equal_for_all_classes_changes_nothing():
    logits = torch.randn(6, 4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 1, 0])
    margin = torch.full((4,), 2.5, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(logits + margin, labels)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, labels))
    (slope,) = torch.autograd.grad(loss, margin)
    torch.testing.assert_close(slope.sum(), torch.zeros((), dtype=torch.float64), atol=1e-12, rtol=0)

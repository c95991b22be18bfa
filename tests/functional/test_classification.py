import torch

from labelwise.functional import label_margins, masked_cross_entropy


def test_it_is_the_negative_log_probability_of_the_label():
    logits = torch.randn(6, 4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0, 2])
    expected = -torch.softmax(logits, -1)[torch.arange(6), labels].log()
    torch.testing.assert_close(masked_cross_entropy(logits, labels), expected)


def test_a_missing_label_costs_nothing_and_teaches_nothing():
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    losses = masked_cross_entropy(logits, torch.tensor([2, -1, 0]))
    losses.sum().backward()
    assert losses.shape == (3,)
    assert losses[1] == 0
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[[0, 2]] != 0).all()


def test_a_batch_without_labels():
    logits = torch.randn(3, 4, requires_grad=True)
    masked_cross_entropy(logits, torch.full((3,), -1)).sum().backward()
    assert (logits.grad == 0).all()


def test_gradients_match_finite_differences():
    labels = torch.tensor([1, -1, 0])
    logits = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda logits: masked_cross_entropy(logits, labels), logits)


def test_margins_are_over_the_largest_other_logit():
    logits = torch.tensor([[3.0, 1.0, 2.0], [-3.0, -1.0, -2.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    margins = label_margins(logits, torch.tensor([0, 0, 1, -1]))
    assert margins[:3].tolist() == [1.0, -2.0, 0.0]
    assert margins[3].isnan()

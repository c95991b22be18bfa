import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labelwise.mixing import LaSO, SetOperation, reversed_partners

OPERATORS = {"union": torch.add, "intersection": torch.minimum, "difference": lambda a, b: (a - b).clamp(min=0)}


def features(n=6, d=5, seed=0):
    return torch.rand(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def plain(network):
    """The weights at which a network does nothing but the operation itself."""
    with torch.no_grad():
        for layer in network.inner:
            for parameter in layer[0].parameters():
                parameter.zero_()
        network.last.weight.copy_(torch.eye(5))
        network.last.bias.zero_()
    return network.double().eval()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_network_can_be_the_operation_itself(operator, layers):
    made = plain(SetOperation(operator, 5, 1))(features(), features(seed=1))
    torch.testing.assert_close(made, OPERATORS[operator](features(), features(seed=1)))
    assert (SetOperation(operator, 5, layers).double()(features(), features(seed=1)) >= 0).all()


def test_sets_that_are_taken_apart_are_whole_again():
    laso = LaSO(5)
    for network in laso.children():
        plain(network)
    values, sets, partner = features(), (torch.rand(6, 3) < 0.5).double(), reversed_partners(6)
    losses = laso.losses(lambda each: each[:, :3], values, sets, partner)
    assert losses["collapse"].item() == pytest.approx(0)
    assert losses["symmetric"].item() == pytest.approx(0)
    shared = torch.minimum(values, values[partner])
    torch.testing.assert_close(laso.intersection(shared, values[partner]), shared)
    apart = F.one_hot(torch.arange(6) % 5).double()
    rest = laso.difference(apart, apart[partner])
    torch.testing.assert_close(laso.difference(rest, apart[partner]), rest)


def eighteen(laso, classify, a, b, one, other):
    """The loss of a pair as the equations are written, a vector after the other."""

    def told(vector, labels):
        return F.binary_cross_entropy_with_logits(classify(vector), labels)

    union, intersection, difference = laso.union, laso.intersection, laso.difference
    losses = dict.fromkeys(
        ("union", "intersection", "difference", "rebuilt", "collapse", "symmetric", "tautology"), 0.0
    )
    for x, y, p, q in ((a, b, one, other), (b, a, other, one)):
        rest, shared, mirrored, both = difference(x, y), intersection(x, y), intersection(y, x), union(x, y)
        same = [difference(rest, y), difference(x, mirrored), difference(x, shared)]
        losses["difference"] += sum(told(each, p * (1 - q)) for each in [rest, *same])
        losses["union"] += told(both, torch.maximum(p, q)) + told(union(both, y), torch.maximum(p, q))
        losses["intersection"] += told(shared, p * q) + told(intersection(shared, y), p * q)
        whole = union(difference(x, mirrored), shared)
        losses["rebuilt"] += told(whole, p)
        losses["collapse"] += F.mse_loss(whole, x)
        losses["tautology"] += sum(F.mse_loss(rest, each) for each in same)
    losses["symmetric"] = F.mse_loss(union(a, b), union(b, a)) + F.mse_loss(intersection(a, b), intersection(b, a))
    return losses


def test_the_loss_as_it_is_written():
    torch.manual_seed(0)
    laso, classify = LaSO(5, layers=2).double().eval(), nn.Linear(5, 3).double()
    values, sets, partner = features(), (torch.rand(6, 3) < 0.5).double(), reversed_partners(6)
    found = laso.losses(classify, values, sets, partner)
    expected = eighteen(laso, classify, values[:3], values[3:].flip(0), sets[:3], sets[3:].flip(0))
    assert list(found) == list(expected)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])
    swapped = laso.losses(classify, values.flip(0), sets.flip(0), partner)
    torch.testing.assert_close(sum(swapped.values()), sum(found.values()))
    sum(found.values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in laso.parameters() if parameter.ndim > 1)


def test_a_row_may_be_its_own_partner():
    torch.manual_seed(0)
    laso, classify = LaSO(5), nn.Linear(5, 3)
    losses = laso.losses(classify, features(3).float(), torch.ones(3, 3), reversed_partners(3))
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in laso.parameters())

import torch

from labelwise.functional import difference, intersection, union


def test_algebra_of_sets():
    first, second = torch.rand(50, 9) < 0.5, torch.rand(50, 9) < 0.5
    hard = union(first, second), intersection(first, second), difference(first, second)
    assert all(each.dtype == torch.bool for each in hard)
    assert torch.equal(hard[2] | hard[1], first)
    assert torch.equal(hard[2] | difference(second, first) | hard[1], hard[0])
    assert not (hard[2] & hard[1]).any()
    assert torch.equal(union(first, first), first)
    assert torch.equal(intersection(first, first), first)
    assert not difference(first, first).any()
    soft = [each(first.double(), second.double()) for each in (union, intersection, difference)]
    assert all(torch.equal(one.double(), other) for one, other in zip(hard, soft, strict=True))


def test_algebra_of_probabilities():
    p, q = torch.rand(20, 4, dtype=torch.float64), torch.rand(20, 4, dtype=torch.float64)
    torch.testing.assert_close(difference(p, q) + intersection(p, q), p)
    torch.testing.assert_close(union(p, q), 1 - (1 - p) * (1 - q))
    torch.testing.assert_close(difference(p, q) + difference(q, p) + intersection(p, q), union(p, q))

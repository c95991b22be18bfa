import pytest
import torch

from labelwise.functional import label_density_pairs


def chances(targets, bandwidth):
    scaled = targets.double().reshape(len(targets), -1) / bandwidth
    return torch.softmax(-0.5 * torch.cdist(scaled, scaled).square(), 1)


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("bandwidth", [0.2, 1.0, 7.0, torch.inf])
@pytest.mark.parametrize("columns", [1, 2])
def test_partners_are_as_likely_as_they_should_be(bandwidth, columns):
    targets = torch.tensor([0.0, 0.1, 0.1, 0.9, 1.3, 2.0, 4.4, 6.0])
    targets = targets if columns == 1 else torch.stack([targets, targets.flip(0)], 1)
    times = 4000
    drawn = label_density_pairs(targets, torch.arange(8).repeat(times), bandwidth, seeded()).reshape(times, 8)
    found = torch.stack([torch.bincount(each, minlength=8) for each in drawn.T]).double() / times
    expected = chances(targets, bandwidth)
    # Four standard deviations, and one that is never drawn though it should be now and then.
    assert ((found - expected).abs() <= 4 * (expected * (1 - expected) / times).sqrt() + 1 / times).all()


def test_a_heap_far_away_counts_by_its_size():
    targets = torch.cat([torch.zeros(1), torch.full((3000,), 4.0)])
    drawn = label_density_pairs(targets, torch.zeros(4000, dtype=torch.int64), 1.0, seeded())
    heap = chances(targets, 1.0)[0, 1:].sum()
    assert abs((drawn > 0).double().mean() - heap) < 4 * (heap * (1 - heap) / 4000) ** 0.5


def test_the_limits_of_the_bandwidth():
    targets, anchors = torch.randperm(200).double(), torch.randint(200, (300,))
    assert torch.equal(label_density_pairs(targets, anchors, 1e-6), anchors)
    assert torch.equal(label_density_pairs(targets[:, None].expand(200, 2), anchors, 1e-6), anchors)
    wide = [
        (targets[label_density_pairs(targets, anchors, b, seeded())] - targets[anchors]).abs().mean()
        for b in (1, 9, 60)
    ]
    assert wide[0] < wide[1] < wide[2]
    assert len(label_density_pairs(targets, anchors[:0], 1.0)) == 0
    assert label_density_pairs(targets[:1], torch.zeros(2, dtype=torch.int64), 1.0).tolist() == [0, 0]


def test_only_differences_of_targets_matter_in_units_of_the_bandwidth():
    targets, anchors = torch.randn(500, dtype=torch.float64), torch.arange(500)
    plain = label_density_pairs(targets, anchors, 0.5, seeded())
    assert torch.equal(label_density_pairs(4 * targets, anchors, 2.0, seeded()), plain)
    one, two = (label_density_pairs(targets, anchors, 0.5, seeded()) for _ in range(2))
    assert torch.equal(one, two)


def test_bad_targets_are_refused():
    with pytest.raises(ValueError, match="row 1 holds nan"):
        label_density_pairs(torch.tensor([0.0, torch.nan]), torch.tensor([0]), 1.0)
    with pytest.raises(ValueError, match="bandwidth must be above 0"):
        label_density_pairs(torch.zeros(2), torch.tensor([0]), 0.0)

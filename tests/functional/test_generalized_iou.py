import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.functional import generalized_iou

BOX = torch.tensor([0.0, 0.0, 4.0, 2.0]).double()


def boxes(seed, n=20):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 10
    return torch.cat([corners, corners + torch.rand(n, 2, generator=generator, dtype=torch.float64) * 5 + 0.1], 1)


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-20, 20))
def test_it_is_symmetric_bounded_and_does_not_depend_on_scale_or_place(seed, scale, shift):
    one, other = boxes(seed), boxes(seed + 1)
    value = generalized_iou(one, other)
    assert ((value > -1) & (value <= 1)).all()
    torch.testing.assert_close(generalized_iou(other, one), value)
    torch.testing.assert_close(generalized_iou(scale * one + shift, scale * other + shift), value)
    torch.testing.assert_close(generalized_iou(one, one), torch.ones(20).double())


def test_by_hand():
    halved = torch.tensor([0.0, 0.0, 2.0, 2.0]).double()
    beside = torch.tensor([6.0, 0.0, 8.0, 2.0]).double()
    assert generalized_iou(BOX, halved).item() == 0.5
    # Of the 16 around both, 4 are covered by neither.
    assert generalized_iou(BOX, beside).item() == -0.25
    assert generalized_iou(torch.zeros(4), torch.zeros(4)).isfinite()

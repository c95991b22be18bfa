import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.functional import gap_cosine_distance, map_cosine_distance

DISTANCES = [gap_cosine_distance, map_cosine_distance]


def maps(seed=0, size=(5, 4)):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(3, 6, *size, generator=generator, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("distance", DISTANCES)
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_it_is_a_cosine_distance(distance, seed, scale):
    student, teacher = maps(seed)
    value = distance(student, teacher)
    assert value.shape == (3,)
    assert ((value >= 0) & (value <= 2)).all()
    torch.testing.assert_close(distance(scale * student, teacher), value)
    torch.testing.assert_close(distance(student, scale * teacher), value)
    torch.testing.assert_close(distance(student, scale * student), torch.zeros(3).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(distance(student, -student), torch.full((3,), 2.0).double())


@pytest.mark.parametrize("distance", DISTANCES)
def test_the_gradient_turns_the_student_and_leaves_the_teacher(distance):
    student, teacher = maps()
    student.requires_grad_()
    teacher.requires_grad_()
    distance(student, teacher).sum().backward()
    assert teacher.grad is None
    # Longer features are no nearer, so that no gradient goes along them.
    kept, turned = (
        (student.detach(), student.grad)
        if distance is map_cosine_distance
        else (student.detach().mean((2, 3)), student.grad.sum((2, 3)))
    )
    torch.testing.assert_close((kept * turned).sum(1), torch.zeros_like(kept[:, 0]), atol=1e-12, rtol=0)
    assert turned.abs().sum() > 0.01


def test_only_the_map_distance_sees_where_features_are():
    student, teacher = maps()
    moved = teacher.flip(2).roll(1, 3)
    torch.testing.assert_close(gap_cosine_distance(student, moved), gap_cosine_distance(student, teacher))
    assert (map_cosine_distance(student, moved) - map_cosine_distance(student, teacher)).abs().min() > 1e-3


@pytest.mark.parametrize("distance", DISTANCES)
def test_maps_of_other_sizes_are_compared_and_other_channels_refused(distance):
    student, _ = maps()
    even = student.mean((2, 3), keepdim=True)
    same = distance(even.expand(-1, -1, 5, 4), even.expand(-1, -1, 9, 3))
    torch.testing.assert_close(same, torch.zeros(3).double(), atol=1e-12, rtol=0)
    with pytest.raises(ValueError, match=r"got \[3, 6, 5, 4\] and \[3, 5, 5, 4\]"):
        distance(student, student[:, :5])

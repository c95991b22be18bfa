"""How far the features of a student are from those of its teacher."""

import torch.nn.functional as F
from torch import Tensor


def gap_cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine between two feature maps, each averaged over the picture first.

    It does not see where a feature is: moving positions about, and scaling either side, change nothing.

    Args:
        student: `[batch, channels, ...]`, any number of dimensions of space.
        teacher: likewise, with as many channels; space may be of another size. No gradient flows into it.

    Returns:
        `[batch]`, in [0, 2]; 0 where the averages point the same way.

    Source: Bartolo et al., "Learning Using Privileged Information for Litter Detection" (2025).
    """
    _check(student, teacher)
    return 1 - F.cosine_similarity(student.flatten(2).mean(-1), teacher.detach().flatten(2).mean(-1))


def map_cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine between two feature maps at each position, averaged over positions.

    A variant of `gap_cosine_distance`, not in its source, that does see where a feature is.

    Args:
        student: `[batch, channels, height, width]`.
        teacher: likewise, with as many channels; a map of another size is resized to the student's. No gradient flows
            into it.

    Returns:
        `[batch]`, in [0, 2].
    """
    _check(student, teacher)
    teacher = teacher.detach()
    if teacher.shape[2:] != student.shape[2:]:
        teacher = F.interpolate(teacher, student.shape[2:], mode="bilinear")
    return 1 - F.cosine_similarity(student, teacher).flatten(1).mean(-1)


def _check(student: Tensor, teacher: Tensor) -> None:
    if student.ndim < 3 or teacher.ndim != student.ndim or student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            "features of student and teacher must be [batch, channels, ...] with equal batch and channels; "
            f"got {list(student.shape)} and {list(teacher.shape)}"
        )

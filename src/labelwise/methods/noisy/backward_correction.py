"""Mix the losses of all classes so that in expectation over the noise the clean loss is left."""

import numpy as np
from torch import Tensor

from labelwise.functional import backward_loss
from labelwise.labels import Transition
from labelwise.methods.noisy.base import TaskBatch
from labelwise.methods.noisy.correction import TransitionMethod

_WORST = 100.0  # condition number
_STEP = 0.1


class BackwardCorrection(TransitionMethod):
    """Losses of all classes, multiplied by the inverse of the transition: an unbiased estimate of the clean loss.

    Unbiased, but of high variance where noise is heavy. A transition that can hardly be inverted (condition above 100)
    is drawn towards the identity in tenths, with a note.
    """

    paper = "Patrini et al., Making Deep Neural Networks Robust to Label Noise, CVPR 2017, arXiv 1609.03683"

    def corrected_losses(self, part: TaskBatch, matrix: Tensor) -> Tensor:
        """(T^-1 l)_y."""
        return backward_loss(part.logits, part.labels, matrix)

    def set_transition(self, task: str, transition: Transition) -> None:
        """Correct a task by this transition, if need be drawn towards the identity."""
        identity, share = np.eye(len(transition.classes)), 1.0
        while np.linalg.cond(matrix := share * transition.matrix + (1 - share) * identity) > _WORST:
            share -= _STEP
        if share < 1:
            self.notes.append(f"the transition of {task!r} was drawn towards the identity by {1 - share:.1f}")
        super().set_transition(task, Transition(matrix, transition.classes))

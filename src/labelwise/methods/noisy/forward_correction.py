"""Send predictions through the noise before they are compared with noisy labels."""

from torch import Tensor

from labelwise.functional import forward_loss
from labelwise.methods.noisy.base import TaskBatch
from labelwise.methods.noisy.correction import TransitionMethod


class ForwardCorrection(TransitionMethod):
    """Cross-entropy between the given labels and the prediction sent through the transition.

    The network then predicts true classes: in expectation it is best off with what it would learn without noise.
    """

    paper = "Patrini et al., Making Deep Neural Networks Robust to Label Noise, CVPR 2017, arXiv 1609.03683"

    def corrected_losses(self, part: TaskBatch, matrix: Tensor) -> Tensor:
        """-log (p T)_y."""
        return forward_loss(part.logits, part.labels, matrix)

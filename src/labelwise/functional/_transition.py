"""Losses for labels that went through a known transition, `matrix[i, j]` = p(given j | true i).

Each takes `logits` `[batch, classes]` of the true class, `labels` int64 `[batch]` (given classes, -1 where missing) and
`matrix` `[classes, classes]` with rows that sum to 1, of any floating type (`torch.from_numpy(transition.matrix)` is
float64), and gives `[batch]`, 0 where the label is missing. With the
identity as the matrix all are cross-entropy.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.functional._classification import masked_cross_entropy

_LEAST = 1e-12  # of a probability, so that its logarithm is finite


def forward_loss(logits: Tensor, labels: Tensor, matrix: Tensor) -> Tensor:
    """Cross-entropy of the given label under the prediction sent through the transition: -log (p T)_y, in nats.

    Its minimiser is the true posterior, as that of cross-entropy without noise.

    Source: Patrini et al., "Making Deep Neural Networks Robust to Label Noise" (2017), eq. 8.
    """
    return torch.where(labels >= 0, -_log_given(logits, labels, matrix), 0.0)


def backward_loss(logits: Tensor, labels: Tensor, matrix: Tensor) -> Tensor:
    """The given label's entry of T^-1 l, with l_k = -log p_k: in expectation over the noise the loss without noise.

    May be below 0, and grows with the condition of the matrix, which must be invertible (`torch.linalg.LinAlgError` if
    not).

    Source: Patrini et al. (2017), eq. 6 and theorem 1.
    """
    logs = F.log_softmax(logits, -1)
    losses = torch.linalg.solve(matrix.to(logs), -logs.T).T
    return torch.where(labels >= 0, _own(losses, labels), 0.0)


def importance_weights(logits: Tensor, labels: Tensor, matrix: Tensor) -> Tensor:
    """How many times as probable the given label is as the true class than as the given one: p_y / (p T)_y.

    At least 0 and at most 1 / T_yy; 1 where the label is missing.

    Source: Liu and Tao, "Classification with Noisy Labels by Importance Reweighting" (2016), eq. 5.
    """
    logs = _own(F.log_softmax(logits, -1), labels) - _log_given(logits, labels, matrix)
    return torch.where(labels >= 0, logs.exp(), 1.0)


def reweighted_loss(logits: Tensor, labels: Tensor, matrix: Tensor) -> Tensor:
    """Cross-entropy times `importance_weights`, which are constants.

    Source: Liu and Tao (2016), eq. 5.
    """
    return importance_weights(logits, labels, matrix).detach() * masked_cross_entropy(logits, labels)


def _log_given(logits: Tensor, labels: Tensor, matrix: Tensor) -> Tensor:
    """Log of (p T)_y, `[batch]`; of class 0 where the label is missing."""
    logs = F.log_softmax(logits, -1)
    ways = matrix.clamp(min=_LEAST).log().T.to(logs)[labels.clamp(min=0)]
    return torch.logsumexp(logs + ways, -1)


def _own(values: Tensor, labels: Tensor) -> Tensor:
    return values.gather(-1, labels.clamp(min=0)[:, None]).squeeze(-1)

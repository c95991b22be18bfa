"""Confidence that means what it says."""

import math

import torch
from scipy.optimize import brentq
from torch import Tensor


def temperature(logits: Tensor, labels: Tensor) -> float:
    """Find the number to divide logits by, so that held-out labels become most likely.

    Where nothing speaks against ever higher confidence (every label is predicted), the likelihood alone would ask for a
    temperature of zero. So n labels count as n + 1, the last one spread evenly over classes, as in Platt's scaling:
    n right answers out of n then give a confidence of about 1 - 1/(n + 2), not of 1.

    Args:
        logits: `[n, classes]`, finite, of examples that the model was not trained on.
        labels: int64 `[n]` in [0, classes), -1 where missing.

    Returns:
        A positive finite number; 1.0 if there is nothing to learn from (no label, or logits all equal). Scaling the
        logits scales it alike.

    Raises:
        ValueError: logits that are not finite, labels out of range.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), section 4.2; Platt (1999) for the
    smoothed labels.
    """
    labels, logits = labels.detach().cpu(), logits.detach().cpu().double()
    _check(logits, labels)
    labelled = labels >= 0
    logits, labels = logits[labelled], labels[labelled]
    gaps = logits - logits.amax(-1, keepdim=True) if len(labels) else logits
    scale = -gaps.mean().item() if len(labels) else 0.0
    if scale == 0:
        return 1.0
    gaps /= scale
    spread = 1 / (len(labels) + 1)
    observed = (1 - spread) * gaps.gather(-1, labels[:, None]).mean() + spread * gaps.mean()

    def slope(log_inverse: float) -> float:
        """Slope of the mean negative log-likelihood along the inverse temperature; rises, as that is convex."""
        chances = torch.softmax(math.exp(log_inverse) * gaps, -1)
        return ((chances * gaps).sum(-1).mean() - observed).item()

    coldest, hottest = math.log(1e4), math.log(1e-4)
    if slope(hottest) >= 0:  # worse than guessing
        return scale * 1e4
    if slope(coldest) <= 0:
        return scale * 1e-4
    return scale * math.exp(-brentq(slope, hottest, coldest, xtol=1e-9))


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits must be [n, classes] and labels [n]; got {list(logits.shape)} and {list(labels.shape)}"
        )
    bad = (~logits.isfinite()).any(-1).nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"logits must be finite; row {bad[0]} holds {logits[bad[0]].tolist()[:10]}")
    wrong = ((labels < -1) | (labels >= logits.shape[1])).nonzero().flatten().tolist()
    if wrong:
        row = wrong[0]
        raise ValueError(f"labels must be in [0, {logits.shape[1]}), or -1 if missing; got {labels[row]} at row {row}")

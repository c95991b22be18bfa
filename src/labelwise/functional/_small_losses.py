"""Which examples of a batch, or of all, are probably labelled right, as their losses tell."""

import warnings

import torch
from torch import Tensor


def forget_rate(epoch: int, rate: float, warm_up: float) -> float:
    """The share of a batch to leave out: rises evenly from 0 at epoch 0 to `rate` at epoch `warm_up`, and stays there.

    Args:
        epoch: epochs done so far, >= 0.
        rate: the share in the end, in [0, 1].
        warm_up: epochs of the rise, >= 0; at 0 there is none.

    Raises `ValueError` for arguments out of range.

    Source: Han et al., "Co-teaching" (2018), section 2.
    """
    if not (epoch >= 0 and warm_up >= 0):
        raise ValueError(f"epoch and warm_up must be at least 0; got {epoch} and {warm_up}")
    _check_share("rate", rate)
    return rate * min(1.0, epoch / warm_up) if warm_up > 0 else rate


def small_losses(losses: Tensor, forget: float, among: Tensor | None = None) -> Tensor:
    """Mark the floor((1 - forget) n) examples of the smallest loss: bool `[batch]`.

    Of equal losses the first ones count as smaller. One example is marked even if the share would leave none.

    Args:
        losses: `[batch]`.
        forget: share to leave out, in [0, 1].
        among: bool `[batch]`, the n examples to choose among; default all.

    Raises `ValueError` for a share out of range.
    """
    _check_share("forget", forget)
    among = torch.ones_like(losses, dtype=torch.bool) if among is None else among
    order = losses.detach().masked_fill(~among, torch.inf).argsort(stable=True)
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    # The small number keeps (1 - 0.9) * 10 at 1 in spite of rounding. No number leaves the device.
    kept = ((1 - forget) * among.sum() + 1e-6).floor().clamp(min=1)
    return (place < kept) & among


def trimmed_mean(losses: Tensor, forget: float, among: Tensor | None = None) -> Tensor:
    """The mean of the losses that `small_losses` marks, a scalar; 0 of none."""
    kept = small_losses(losses, forget, among)
    return (losses * kept).sum() / kept.sum().clamp(min=1)


def _check_share(name: str, share: float) -> None:
    """Raise `ValueError` unless the share is in [0, 1]."""
    if not 0 <= share <= 1:
        raise ValueError(f"{name} must be in [0, 1]; got {share}")


def clean_probability(losses: Tensor, seed: int = 0) -> Tensor:
    """How probably each label is right, if losses of right and of wrong labels are two heaps.

    Fits a mixture of two Gaussians to the losses, scaled to [0, 1], and gives the posterior of the one with the lower
    mean. Where there are no two different losses, all are 1.

    Args:
        losses: `[n]`; nan, which gives nan, where there is none.
        seed: of the first guess of the mixture.

    Returns:
        `[n]`, of the dtype and device of `losses`. No gradient.

    Source: Arazo et al. (2019); Li, Socher, Hoi, "DivideMix" (2020), section 3.1, with the settings of its code.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    known = losses.isfinite()
    values = losses.detach()[known].double().cpu()
    found = torch.full_like(losses, torch.nan)
    found[known] = 1.0
    if len(values) and values.min() < values.max():
        scaled = ((values - values.min()) / (values.max() - values.min()))[:, None].numpy()
        mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # ten steps are meant
            posterior = mixture.fit(scaled).predict_proba(scaled)
        found[known] = torch.from_numpy(posterior[:, mixture.means_.ravel().argmin()]).to(found)
    return found

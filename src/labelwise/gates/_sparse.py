"""Gates that project their logits onto the simplex, where many weights come out as exact zeros."""

from typing import Any

from torch import Tensor

from labelwise.gates._base import GateOutput
from labelwise.gates._logits import LogitGate


class Entmax(LogitGate):
    """Uses the experts whose logits are large enough beside the others', with smooth weights; the rest get exact zeros.

    The weights maximise `logits @ weights` plus a Tsallis entropy of degree `alpha`: from softmax, the limit at 1,
    which uses all experts, by way of `Sparsemax` at 2, towards the one expert of the largest logit. How many are used,
    the logits decide: there is no upper limit. An expert with weight 0 gets no gradient. No penalty.

    Args:
        n_experts: any number from 1.
        in_features: None for a static gate, else the width of the inputs.
        alpha: degree of the entropy, > 1. 1.5 and 2 are computed exactly, others by bisection.

    Raises `ValueError` if alpha is out of range or the extra `entmax` is not installed.

    Source: Peters et al., "Sparse Sequence-to-Sequence Models" (2019), eqs. 10-11; computed by the package `entmax`.
    """

    def __init__(self, n_experts: int, in_features: int | None = None, alpha: float = 1.5):
        super().__init__(n_experts, in_features)
        if not alpha > 1:
            raise ValueError(f"alpha must be above 1, where the limit is Softmax; got {alpha}")
        self.alpha = alpha
        _package()

    def forward(self, inputs: Tensor | None = None) -> GateOutput:
        """Weights `[n]` or `[batch, n]`."""
        logits, package = self._logits(inputs), _package()
        if self.alpha == 2:
            weights = package.sparsemax(logits)
        elif self.alpha == 1.5:
            weights = package.entmax15(logits)
        else:
            weights = package.entmax_bisect(logits, self.alpha)
        return GateOutput(weights, weights.new_zeros(()))

    def extra_repr(self) -> str:
        """What `print` shows of the gate."""
        return f"{super().extra_repr()}, alpha={self.alpha}"


class Sparsemax(Entmax):
    """Uses the experts that the Euclidean projection of the logits onto the simplex leaves above 0: `Entmax` at 2.

    Source: Martins and Astudillo, "From Softmax to Sparsemax" (2016), eq. 2.
    """

    def __init__(self, n_experts: int, in_features: int | None = None):
        super().__init__(n_experts, in_features, alpha=2)


def _package() -> Any:
    try:
        import entmax  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise ValueError("Entmax and Sparsemax need an extra: pip install 'labelwise[entmax]'") from None
    return entmax

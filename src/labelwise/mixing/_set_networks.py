"""Networks that make features of a set operation of two examples' labels."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.functional import difference, intersection, union

SetOperator = Literal["union", "intersection", "difference"]
_PLAIN: Mapping[SetOperator, Callable[[Tensor, Tensor], Tensor]] = {
    "union": torch.add,
    "intersection": torch.minimum,
    "difference": lambda first, second: F.relu(first - second),
}


class SetOperation(nn.Module):
    """Makes, of the features of two examples, those of one that has the union of their labels, or another operation.

    The operation as it stands on features (their sum, their minimum, what the first has above the second) is added to
    each of the inner layers, which learn what it lacks. It means that only for features of at least 0, as they are
    after a ReLU; so are those that come out.

    Args:
        operator: "union", "intersection", or "difference" (labels of the first that the second has not).
        features: d, numbers an example, >= 1.
        layers: inner layers, >= 1.

    Source: Alfassy et al., "LaSO" (2019), the residual network of the released code.
    """

    def __init__(self, operator: SetOperator, features: int, layers: int = 1):
        super().__init__()
        self.operator = operator
        self.first = nn.Sequential(nn.Linear(2 * features, features), nn.BatchNorm1d(features), nn.LeakyReLU(0.2))
        self.inner = nn.ModuleList(
            nn.Sequential(nn.Linear(features, features), nn.BatchNorm1d(features)) for _ in range(layers)
        )
        self.last = nn.Linear(features, features)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Features `[batch, d]`, at least 0, of two examples' `[batch, d]`."""
        plain = _PLAIN[self.operator](first, second)
        hidden = self.first(torch.cat([first, second], 1))
        for layer in self.inner:
            hidden = F.leaky_relu(layer(hidden) + plain, 0.2)
        return F.relu(self.last(hidden))


class LaSO(nn.Module):
    """The three set operations as networks, and what they are trained by.

    Args:
        features: d, numbers an example, >= 1.
        layers: inner layers of each network, >= 1.

    Source: Alfassy et al., "LaSO: Label-Set Operations Networks for Multi-Label Few-Shot Learning" (2019).
    """

    def __init__(self, features: int, layers: int = 1):
        super().__init__()
        self.union = SetOperation("union", features, layers)
        self.intersection = SetOperation("intersection", features, layers)
        self.difference = SetOperation("difference", features, layers)

    def losses(
        self, classify: Callable[[Tensor], Tensor], features: Tensor, sets: Tensor, partner: Tensor
    ) -> dict[str, Tensor]:
        """What is minimised, by name, each a scalar to be added to the others.

        `union`, `intersection` and `difference`: binary cross-entropy of what `classify` says of each network's output,
        also after a second pass and after other operations; `rebuilt`: the same of features that were taken apart into
        intersection and difference and united again; `collapse`: mean squared error of these; `symmetric` and
        `tautology`: mean squared error between outputs that mean the same set.

        Args:
            classify: features `[batch, d]` to logits `[batch, classes]`; should learn nothing from this.
            features: `[batch, d]`, at least 0.
            sets: labels, 0 or 1, `[batch, classes]`, in the dtype of the logits.
            partner: int64 `[batch]`; rows should be each other's partners, as those of `reversed_partners` are, since
                pairs are combined both ways.
        """
        others, other_sets = features[partner], sets[partner]
        shared, sharing = self.intersection(features, others), intersection(sets, other_sets)
        rest, left = self.difference(features, others), difference(sets, other_sets)
        both, either = self.union(features, others), union(sets, other_sets)
        # The rest, made in three further ways.
        again = self.difference(rest, others)
        without, without_mirrored = self.difference(features, shared), self.difference(features, shared[partner])
        rebuilt = self.union(without_mirrored, shared)

        def classified(target: Tensor, *made: Tensor) -> Tensor:
            logits = classify(torch.cat(made))
            return len(made) * F.binary_cross_entropy_with_logits(logits, target.repeat(len(made), 1))

        # Sums over both examples of a pair are twice the mean over rows.
        return {
            "union": 2 * classified(either, both, self.union(both, others)),
            "intersection": 2 * classified(sharing, shared, self.intersection(shared, others)),
            "difference": 2 * classified(left, rest, again, without, without_mirrored),
            "rebuilt": 2 * classified(sets, rebuilt),
            "collapse": 2 * F.mse_loss(rebuilt, features),
            "symmetric": F.mse_loss(both, both[partner]) + F.mse_loss(shared, shared[partner]),
            "tautology": 2
            * sum((F.mse_loss(rest, same) for same in (again, without, without_mirrored)), rest.new_zeros(())),
        }

"""A second network beside the first."""

import copy

from torch import nn


def fresh_copy(backbone: nn.Module) -> nn.Module:
    """The same network with weights drawn anew, where its layers know how to (`reset_parameters`)."""
    made = copy.deepcopy(backbone)
    for layer in made.modules():
        reset = getattr(layer, "reset_parameters", None)
        if callable(reset):
            reset()
    return made

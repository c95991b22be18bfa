"""A step of training that is not taken, but asked what it would have led to."""

from collections.abc import Mapping

import torch
from torch import Tensor


def virtual_step(parameters: Mapping[str, Tensor], loss: Tensor, learning_rate: float) -> dict[str, Tensor]:
    """Parameters after one step of gradient descent on `loss`, by name, still in the graph.

    So a loss of the result can be differentiated by whatever `loss` depends on, beside the parameters. Give the result
    to `torch.func.functional_call`. Parameters that the loss does not depend on stay as they are.

    Source: Ren et al., "Learning to Reweight Examples for Robust Deep Learning" (2018), eq. 4.
    """
    slopes = torch.autograd.grad(loss, list(parameters.values()), create_graph=True, materialize_grads=True)
    return {
        name: value - learning_rate * slope for (name, value), slope in zip(parameters.items(), slopes, strict=True)
    }

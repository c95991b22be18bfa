"""Many small networks of one shape, computed together."""

import copy
import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLPExperts(nn.Module):
    """n multilayer perceptrons of one shape, whose weights are stacked so that all run in a few matrix products.

    Layer l has `weights[l]` `[n, in, out]` (the order in which products of few rows are fastest) and `biases[l]`
    `[n, out]`, which start as those of `torch.nn.Linear`. ReLU follows every layer, the last one too unless
    `activate_output=False`, as experts give features to heads and not answers.

    Args:
        n: number of experts, >= 1.
        in_features: width of the inputs.
        hidden: width of the hidden layer, or of several; `()` for none.
        out_features: width of the outputs.
        activate_output: whether ReLU follows the last layer.

    Raises `ValueError` if a size is below 1.
    """

    def __init__(
        self, n: int, in_features: int, hidden: int | Sequence[int], out_features: int, activate_output: bool = True
    ):
        super().__init__()
        widths = [in_features, *([hidden] if isinstance(hidden, int) else hidden), out_features]
        if min(n, *widths) < 1:
            raise ValueError(f"number and widths of experts must be at least 1; got n={n}, widths {widths}")
        self.n = n
        self.in_features = in_features
        self.out_features = out_features
        self.activate_output = activate_output
        shapes = list(pairwise(widths))
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(n, *shape)) for shape in shapes)
        self.biases = nn.ParameterList(nn.Parameter(torch.empty(n, out)) for _, out in shapes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights and biases anew, uniform within `1 / sqrt(fan_in)`."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            bound = 1 / math.sqrt(weight.shape[1])
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    def __len__(self) -> int:
        return self.n

    def forward(self, inputs: Tensor, chosen: Sequence[int] | None = None) -> Tensor:
        """Outputs `[experts, batch, out_features]` of all experts, or the `chosen` ones, for `[batch, in_features]`."""
        outputs = inputs.expand(self.n if chosen is None else len(chosen), *inputs.shape)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if chosen is not None:
                index = torch.as_tensor(chosen, device=weight.device)
                weight, bias = weight.index_select(0, index), bias.index_select(0, index)
            outputs = self._activate(torch.baddbmm(bias.unsqueeze(1), outputs, weight), layer)
        return outputs

    def only(self, chosen: Sequence[int]) -> "MLPExperts":
        """A copy with the chosen experts alone."""
        copied = copy.deepcopy(self)
        copied.n = len(chosen)
        for stacked in (copied.weights, copied.biases):
            for layer, parameter in enumerate(stacked):
                stacked[layer] = nn.Parameter(parameter.detach()[list(chosen)], parameter.requires_grad)
        return copied

    def each(self, rows: Tensor, of_expert: Tensor, counts: Sequence[int]) -> Tensor:
        """What each expert says of its own rows, `[rows, out_features]`; experts without rows do not run.

        Args:
            rows: `[rows, in_features]`, those of the first expert first.
            of_expert: whose each row is, int64 `[rows]`, ascending.
            counts: how many rows each expert has; the same facts again, as callers have both.
        """
        layers = list(zip(self.weights, self.biases, strict=True))
        if torch.is_autocast_enabled(rows.device.type) and rows.dtype != torch.float64:
            dtype = torch.get_autocast_dtype(rows.device.type)
            rows, layers = rows.to(dtype), [(weight.to(dtype), bias.to(dtype)) for weight, bias in layers]
        if self._can_group(rows):
            return self._grouped(layers, rows, of_expert, counts)
        return self._in_turn(layers, rows, counts)

    def _can_group(self, rows: Tensor) -> bool:
        """Whether `grouped_mm` takes these rows. It needs rows of memory that are multiples of 16 bytes."""
        widths = [self.in_features, *(weight.shape[2] for weight in self.weights)]
        aligned = all(width * rows.element_size() % 16 == 0 for width in widths)
        return aligned and rows.dtype in (torch.float32, torch.bfloat16) and len(rows) > 0

    def _grouped(
        self, layers: Sequence[tuple[Tensor, Tensor]], outputs: Tensor, of_expert: Tensor, counts: Sequence[int]
    ) -> Tensor:
        """One grouped product a layer: on CPUs as fast as a product an expert, or faster where experts are many."""
        ends = torch.tensor(list(accumulate(counts)), dtype=torch.int32, device=outputs.device)
        for layer, (weight, bias) in enumerate(layers):
            outputs = F.grouped_mm(outputs.contiguous(), weight, offs=ends)
            outputs = self._activate(outputs.add_(bias.index_select(0, of_expert)), layer)
        if outputs.requires_grad and not self.activate_output:
            outputs.register_hook(torch.Tensor.contiguous)  # grouped_mm refuses expanded gradients
        return outputs

    def _in_turn(self, layers: Sequence[tuple[Tensor, Tensor]], rows: Tensor, counts: Sequence[int]) -> Tensor:
        """One product an expert and layer."""
        # Unbound at once: taking slices one by one would make backward fill and add a whole stack for each expert.
        separate = [(weight.unbind(), bias.unbind()) for weight, bias in layers]
        parts = rows.split(list(counts))
        said = []
        for expert in [i for i, part in enumerate(parts) if len(part)] or [0]:
            outputs = parts[expert]
            for layer, (weights, biases) in enumerate(separate):
                outputs = self._activate(torch.addmm(biases[expert], outputs, weights[expert]), layer)
            said.append(outputs)
        return torch.cat(said)

    def _activate(self, outputs: Tensor, layer: int) -> Tensor:
        return outputs if layer == len(self.weights) - 1 and not self.activate_output else outputs.relu_()

    def extra_repr(self) -> str:
        """What `print` shows of the experts."""
        widths = [self.in_features, *(weight.shape[2] for weight in self.weights)]
        return f"{self.n} experts, widths {widths}, activate_output={self.activate_output}"

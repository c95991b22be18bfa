"""Networks that turn features into the inputs of experts and heads."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

_SMALL = 40  # pixels


class MLP(nn.Module):
    """Fully connected layers, each followed by a ReLU and dropout.

    Takes [batch, in_features], or anything that flattens to it, and gives [batch, out_features]. `hidden` are the
    widths between; `dropout` is the share in [0, 1) of activations that are zeroed in training.
    """

    def __init__(self, in_features: int, hidden: Sequence[int], out_features: int, dropout: float = 0.0):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        widths = [in_features, *hidden, out_features]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Features [batch, out_features]."""
        return self.layers(inputs)


class SmallCNN(nn.Module):
    """A small convolutional network for pictures from 8 × 8 digits to photos of about 100 × 100.

    Two to four blocks of two 3 × 3 convolutions with batch normalisation; between blocks the picture is halved and the
    channels are doubled; the last block is averaged over the picture. Takes [batch, in_channels, height, width] and
    gives [batch, out_features]. `size` is the shorter side in pixels, from which the depth follows (the last block
    still sees about 4 × 4); `width` is the number of channels of the first block.
    """

    def __init__(self, in_channels: int, out_features: int, size: int = 32, width: int = 16, dropout: float = 0.0):
        super().__init__()
        self.out_features = out_features
        depth = min(max(size.bit_length() - 2, 2), 4)
        channels = [width * 2**level for level in range(depth - 1)] + [out_features]
        layers: list[nn.Module] = []
        for level, after in enumerate(channels):
            before = in_channels if level == 0 else channels[level - 1]
            # Halving with the first step makes photos four times as fast; small pictures need every pixel.
            stride = 2 if level == 0 and size > _SMALL else 1
            layers += [*_convolution(before, after, stride), *_convolution(after, after)]
            if level < depth - 1:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))

    def forward(self, inputs: Tensor) -> Tensor:
        """Features [batch, out_features]."""
        return self.layers(inputs)


def _convolution(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    # The normalisation brings its own offset, so that the convolution needs none.
    return [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]


class TwoBackbones(nn.Module):
    """Two modalities, each with a backbone of its own, whose features stand side by side.

    Takes rows [batch, d] that hold an example of the first modality, flat, and after it one of the second, of the
    `shapes` given. Gives [batch, out_features], the features of both.
    """

    def __init__(self, first: nn.Module, second: nn.Module, shapes: Sequence[Sequence[int]]):
        super().__init__()
        self.first = first
        self.second = second
        self.shapes = [tuple(shape) for shape in shapes]
        self.widths = (int(first.out_features), int(second.out_features))  # type: ignore[arg-type]  # as of backbones
        self.out_features = sum(self.widths)

    def embed(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features [batch, widths[0]] and [batch, widths[1]] of the two modalities."""
        parts = inputs.split([math.prod(shape) for shape in self.shapes], 1)
        first, second = (part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True))
        return self.first(first), self.second(second)

    def forward(self, inputs: Tensor) -> Tensor:
        """Features [batch, out_features]."""
        return torch.cat(self.embed(inputs), 1)


def backbone_for(shape: Sequence[Any], width: int = 128, dropout: float = 0.0) -> MLP | SmallCNN | TwoBackbones:
    """A backbone for features of this shape: an `MLP` for [d], a `SmallCNN` for [channels, height, width].

    `width` is its number of output features. Two such shapes, [shape, shape], are those of two modalities, and give
    `TwoBackbones` of that width each. Raises `ValueError` for any other shape.
    """
    if len(shape) == 2 and all(isinstance(each, Sequence) for each in shape):
        first, second = (backbone_for(each, width, dropout) for each in shape)
        return TwoBackbones(first, second, shape)
    if len(shape) == 1:
        return MLP(shape[0], (width,), width, dropout)
    if len(shape) == 3:
        return SmallCNN(shape[0], width, size=min(shape[1:]), dropout=dropout)
    raise ValueError(f"features must have shape [d] or [channels, height, width]; got {list(shape)}")

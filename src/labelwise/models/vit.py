"""A small vision transformer that shows what it attends to."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

_MOST_PATCHES = 8  # along a side
_LEAST_PIXELS = 2  # along the side of a patch


class Attended(NamedTuple):
    """What a vision transformer makes of pictures.

    `features` `[batch, d]`, those of the class token; `tokens` `[batch, patches, d]` of the patches, in reading order;
    `attention` `[batch, 1 + patches, 1 + patches]`, rows with sum 1: how much each token of the last block, the class
    token first, attended to each, mean over heads, before any dropout.
    """

    features: Tensor
    tokens: Tensor
    attention: Tensor


@runtime_checkable
class Attending(Protocol):
    """A backbone that gives features and attention: what methods need that mix pictures by attention.

    `grid` is the number of patches along a side of the picture, which is cut into grid × grid of them.
    """

    grid: int

    def attend(self, inputs: Tensor) -> Attended:
        """Features, tokens and attention of pictures `[batch, channels, height, width]`."""


class SmallViT(nn.Module):
    """A small vision transformer for pictures of one size.

    The picture is cut into patches, each of which becomes a token with a learned place; a class token joins them, whose
    last state is the features. Blocks normalise before attention and before a layer twice as wide. Takes
    [batch, in_channels, height, width] and gives [batch, out_features].

    Args:
        in_channels: of the pictures.
        out_features: width of tokens and features.
        size: height and width of the pictures, in pixels.
        grid: patches along a side; by default the most that divide both sides, up to 8, of 2 pixels at least.
        depth: blocks.
        dropout: share in [0, 1) of what blocks add, and of the features, that is zeroed in training.

    Raises `ValueError` for pictures that do not divide into the grid, or into any.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021).
    """

    def __init__(
        self,
        in_channels: int,
        out_features: int,
        size: tuple[int, int],
        grid: int | None = None,
        depth: int = 4,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.out_features = out_features
        self.size = size
        self.grid = _grid(size) if grid is None else grid
        if size[0] % self.grid or size[1] % self.grid:
            raise ValueError(f"pictures of {size[0]} x {size[1]} pixels do not divide into {self.grid} x {self.grid}")
        patch = (size[0] // self.grid, size[1] // self.grid)
        self.patches = nn.Conv2d(in_channels, out_features, patch, stride=patch)
        self.first = nn.Parameter(nn.init.trunc_normal_(torch.empty(out_features), std=0.02))  # the class token
        self.places = nn.Parameter(nn.init.trunc_normal_(torch.empty(1 + self.grid**2, out_features), std=0.02))
        self.blocks = nn.ModuleList(_Block(out_features, dropout) for _ in range(depth))
        self.normalise = nn.LayerNorm(out_features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """Features [batch, out_features]."""
        return self.attend(inputs).features

    def attend(self, inputs: Tensor) -> Attended:
        """Features, tokens and attention of pictures. Raises `ValueError` for pictures of another size."""
        if tuple(inputs.shape[2:]) != tuple(self.size):
            raise ValueError(f"pictures must be {self.size[0]} x {self.size[1]} pixels; got {list(inputs.shape)}")
        tokens = self.patches(inputs).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(inputs), 1, -1), tokens], 1) + self.places
        attention = tokens  # of no block; there is at least one
        for block in self.blocks:
            tokens, attention = block(tokens)
        tokens = self.dropout(self.normalise(tokens))
        return Attended(tokens[:, 0], tokens[:, 1:], attention)


class _Block(nn.Module):
    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.heads = math.gcd(width, 4)
        self.before_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.before_layer = nn.LayerNorm(width)
        self.layer = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [batch, n, width], and their attention [batch, n, n], mean over heads."""
        asked = self.queries_keys_values(self.before_attention(tokens))
        queries, keys, values = asked.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attention = (queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])).softmax(-1)
        tokens = tokens + self.dropout(self.join((attention @ values).transpose(1, 2).flatten(2)))
        return tokens + self.dropout(self.layer(self.before_layer(tokens))), attention.mean(1)


def vit_for(shape: Sequence[Any], width: int = 128, dropout: float = 0.0) -> SmallViT:
    """A `SmallViT` for pictures of the shape [channels, height, width].

    `width` is its number of output features. Raises `ValueError` for any other shape, and pictures that cannot be cut.
    """
    if len(shape) != 3:
        raise ValueError(f"a vision transformer sees pictures [channels, height, width]; got features {list(shape)}")
    return SmallViT(shape[0], width, (shape[1], shape[2]), dropout=dropout)


def _grid(size: tuple[int, int]) -> int:
    sides = range(_MOST_PATCHES, 1, -1)
    for side in sides:
        if not size[0] % side and not size[1] % side and min(size) >= _LEAST_PIXELS * side:
            return side
    raise ValueError(
        f"pictures of {size[0]} x {size[1]} pixels cannot be cut into 2 x 2 to {_MOST_PATCHES} x {_MOST_PATCHES} equal "
        "patches; resize them, to 32 x 32 for instance"
    )

"""From one label a picture to many, each where it is: what a strong annotator sees in every part, stored once.

A classifier that averages its features over the picture and then applies a linear layer also says what it sees at each
position: the same layer, applied there. These label maps are computed once a picture (`build`), and give every random
crop a soft label that says what is inside it (`LabelMaps.targets`). An annotator that was trained on the same labels
copies their errors: give one that was not.

Source: Yun et al., "Re-labeling ImageNet: from Single to Multi-Labels, from Global to Localized Labels" (CVPR 2021).
"""

import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.functional import box_weights
from labelwise.progress import progress
from labelwise.runs import writing

_ARRAYS = ("values", "ids", "classes")


def dense_logits(features: Tensor, head: nn.Linear) -> Tensor:
    """Logits at every position, `[batch, classes, height, width]`, of features `[batch, d, height, width]`.

    Their mean over positions are the logits of the whole picture, if the classifier averages features before `head`.
    """
    logits = torch.einsum("bdhw,cd->bchw", features, head.weight)
    return logits if head.bias is None else logits + head.bias[:, None, None]


def sparsify(logits: Tensor, k: int = 5) -> tuple[Tensor, Tensor]:
    """The k largest logits of each position and their classes, `[batch, k, height, width]` each, largest first.

    Raises `ValueError` unless k is in [1, classes].
    """
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"k must be in [1, {logits.shape[1]}], the number of classes; got {k}")
    values, ids = logits.topk(k, dim=1)
    return values, ids


def densify(values: Tensor, ids: Tensor, classes: int) -> Tensor:
    """What `sparsify` kept, as `[batch, classes, height, width]`; the logits of all other classes are 0."""
    dense = values.new_zeros(len(values), classes, *values.shape[2:])
    return dense.scatter(1, ids.long(), values)


@dataclass(frozen=True)
class LabelMaps:
    """Label maps of n pictures: the largest logits at each position and their classes.

    Args:
        values: logits `[n, k, height, width]`, stored as float16.
        ids: their classes, of an integer type, `[n, k, height, width]`.
        classes: how many classes there are. Those that are not stored have logit 0 at that position, which blurs soft
            labels where the stored logits are small: with few classes, keep all of them.
    """

    values: Tensor
    ids: Tensor
    classes: int

    def __len__(self) -> int:
        return len(self.values)

    def pool(self, rows: Tensor, boxes: Tensor) -> Tensor:
        """Mean logits inside a box of each picture, float32 `[batch, classes]`: `roi_mean` of the dense maps.

        Args:
            rows: which pictures, int64 `[batch]`.
            boxes: `[batch, 4]`: left, top, right, bottom, as shares of the picture.
        """
        if len(boxes) and (boxes.amin() < -1 or boxes.amax() > 2):  # pixels, most likely
            raise ValueError(
                f"boxes must be shares of the picture, 0 to 1; got {boxes.amin():g} to {boxes.amax():g} (divide pixels "
                "by the width and the height)"
            )
        values, ids = self.values[rows].float(), self.ids[rows].long()
        across, down = box_weights(boxes.to(values), *values.shape[2:])
        inside = values * torch.einsum("bh,bw->bhw", down, across)[:, None]
        return values.new_zeros(len(values), self.classes).scatter_add(1, ids.flatten(1), inside.flatten(1))

    def targets(self, rows: Tensor, boxes: Tensor) -> Tensor:
        """Soft labels of crops, float32 `[batch, classes]`, each row with sum 1; takes what `pool` takes.

        For `functional.soft_cross_entropy`. A crop that is mirrored afterwards has the same label. The box [0, 0, 1, 1]
        gives that of the whole picture.
        """
        return self.pool(rows, boxes).softmax(-1)

    def save(self, path: str | PathLike[str]) -> None:
        """Write an .npz file, whole or not at all."""
        with writing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, values=self.values.numpy(), ids=self.ids.numpy(), classes=np.int64(self.classes))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read what `save` wrote. Raises `ValueError` if the file is not such a one; nothing in it is unpickled."""
        try:
            with np.load(Path(path), allow_pickle=False) as file:
                values, ids, classes = (file[name] for name in _ARRAYS)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, AttributeError) as error:
            raise ValueError(f"{path} holds no label maps ({error}); make it with LabelMaps.save") from None
        fits = values.ndim == 4 and values.shape == ids.shape and values.dtype.kind == "f" and ids.dtype.kind == "i"
        if not fits or classes.ndim != 0 or (ids.size and (ids.min() < 0 or ids.max() >= classes)):
            raise ValueError(
                f"{path} must hold values and ids [n, k, height, width] with ids in [0, {classes}); got values "
                f"{values.dtype} {list(values.shape)} and ids {ids.dtype} {list(ids.shape)}"
            )
        return cls(torch.from_numpy(values), torch.from_numpy(ids), int(classes))


@torch.no_grad()
def build(
    backbone: nn.Module, head: nn.Linear, batches: Collection[Tensor], k: int = 5, quiet: bool = False
) -> LabelMaps:
    """Let an annotator make the label maps of all pictures; one pass.

    Args:
        backbone: gives features `[batch, d, height, width]`, the ones that the classifier would average.
        head: the linear layer on the averaged features.
        batches: pictures `[batch, channels, height, width]`, as a `DataLoader` or `pictures.split(64)` gives; whole
            ones, resized and not cropped, so that shares of them are shares of the original.
        k: logits to keep at each position, in [1, classes].
        quiet: show no progress bar.

    Raises `ValueError` if there is no picture, or the features are no maps.
    """
    device, learning = head.weight.device, backbone.training
    small = torch.int16 if head.out_features <= torch.iinfo(torch.int16).max else torch.int32
    values, ids = [], []
    backbone.eval()
    with progress("Label maps", len(batches), quiet) as advance:
        for pictures in batches:
            features = backbone(pictures.to(device))
            if features.ndim != 4 or features.shape[1] != head.in_features:
                raise ValueError(
                    f"the backbone must give features [batch, {head.in_features}, height, width], before they are "
                    f"averaged; got {list(features.shape)}"
                )
            kept, classes = sparsify(dense_logits(features, head), k)
            values.append(kept.half().cpu())
            ids.append(classes.to(small).cpu())
            advance()
    backbone.train(learning)
    if not values:
        raise ValueError("there must be at least one batch of pictures; got none")
    return LabelMaps(torch.cat(values), torch.cat(ids), head.out_features)


def random_boxes(
    n: int,
    height: int,
    width: int,
    generator: torch.Generator,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Boxes for random resized crops, float32 `[n, 4]`: left, top, right, bottom, as shares of the picture.

    Args:
        n: how many.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        generator: source of the random numbers, on the CPU.
        scale: least and largest area, as a share of the picture's; uniform between.
        ratio: least and largest width over height, in pixels; its logarithm is uniform between. A side that would be
            longer than the picture's is as long as that.
    """

    for name, (low, high), most in (("scale", scale, 1.0), ("ratio", ratio, np.inf)):
        if not 0 < low <= high <= most:
            raise ValueError(f"{name} must be least and largest, above 0 and at most {most:g}; got {low:g}, {high:g}")

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    area, shape = uniform(*scale), uniform(*np.log(ratio).tolist()).exp() * height / width
    sides = torch.stack([(area * shape).sqrt(), (area / shape).sqrt()], 1).clamp(max=1)
    corner = (1 - sides) * torch.rand(n, 2, generator=generator)
    return torch.cat([corner, corner + sides], 1).clamp(max=1)


def crop(pictures: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut a box out of each picture and resize it by bilinear interpolation, `[batch, channels, *size]`.

    Args:
        pictures: `[batch, channels, height, width]`.
        boxes: `[batch, 4]`: left, top, right, bottom, as shares of the picture.
        size: height and width of the crops, in pixels.
    """
    left, top, right, bottom = boxes.to(pictures).unbind(1)
    zero = torch.zeros_like(left)
    across = torch.stack([right - left, zero, left + right - 1], 1)
    down = torch.stack([zero, bottom - top, top + bottom - 1], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), [len(pictures), pictures.shape[1], *size], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)

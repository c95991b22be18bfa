"""Columns that only a teacher sees."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from labelwise.labels import LabelTable, features_apart
from labelwise.methods.privileged.lupi import Lupi
from labelwise.methods.registry import get
from labelwise.models import choose_encoder, encode


def check_taken(method: str, privileged: Sequence[str]) -> None:
    """Raise `ValueError` if a method needs privileged columns and there are none, or the other way round."""
    needed = issubclass(get(method), Lupi)
    if needed and not privileged:
        raise ValueError(f"method {method!r} learns from columns known in training alone; name one with --privileged")
    if privileged and not needed:
        raise ValueError(f"method {method!r} has no teacher to see privileged columns; use --method lupi")


def withhold(table: LabelTable, privileged: Sequence[str]) -> tuple[LabelTable, LabelTable | None]:
    """The table without the privileged columns, and one that has no other features; None if there are none.

    Raises `ValueError` if one is not there or no feature, or if no other feature is left.
    """
    if not privileged:
        return table, None
    return features_apart(table, privileged, "privileged")


def encode_hidden(hidden: LabelTable, training: np.ndarray, inputs: Tensor, quiet: bool = False) -> Tensor:
    """Privileged features float32 `[n, more, ...]` of the shape of `inputs` `[n, channels, ...]` but for the channels.

    The encoder is fitted to the rows `training`. Raises `ValueError` if the shapes do not go together, or a row cannot
    be read.
    """
    encoded = encode(hidden, choose_encoder(hidden), quiet=quiet, fit_rows=training)
    for row, reason in encoded.unreadable.items():
        raise ValueError(f"the privileged column of row {row} of {hidden.source} could not be read ({reason}); mend it")
    features = torch.from_numpy(encoded.features)
    if features.shape[2:] != inputs.shape[2:]:
        raise ValueError(
            "privileged features must have the shape of the others but for the channels; got "
            f"{list(features.shape[1:])} beside {list(inputs.shape[1:])} ({hidden.source})"
        )
    return features

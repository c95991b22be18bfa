"""Pictures that open and yet show nothing."""

from collections.abc import Mapping

import numpy as np

_EVEN = 1e-4  # spread of pixels, in standard deviations of all, that is rounding error
_COMMON = 0.05


def blank_pictures(pixels: np.ndarray, unreadable: Mapping[int, str]) -> dict[int, str]:
    """Rows of `pixels` [n, channels, height, width] that are of one colour throughout, each with the reason in words.

    Rows that are `unreadable` already are left out. Where more than one picture in twenty is blank, being so is no
    accident (there may be a class of blank ones), and none is named.
    """
    even = np.ptp(pixels, axis=(2, 3)).max(axis=1) < _EVEN
    even[list(unreadable)] = False
    if even.sum() > _COMMON * len(even):
        return {}
    return {int(row): "one colour throughout" for row in np.flatnonzero(even)}

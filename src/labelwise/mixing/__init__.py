"""Examples made from examples. A mixer takes inputs `[batch, ...]` and a generator, and gives a `Mixed` batch."""

from labelwise.mixing._mixed import Mixed, Mixer
from labelwise.mixing._mixers import CutMix, Mixup

__all__ = ["CutMix", "Mixed", "Mixer", "Mixup"]

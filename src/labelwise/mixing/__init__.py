"""Examples made from examples. A mixer takes inputs `[batch, ...]` and a generator, and gives a `Mixed` batch."""

from labelwise.mixing._cutting import CutMix, FMix, ResizeMix, SaliencyMix, SMMix, TransMix
from labelwise.mixing._drawing import (
    beta_weights,
    different_partners,
    group_partners,
    other_partners,
    random_partners,
    reversed_partners,
    rolled_partners,
)
from labelwise.mixing._mixed import Mixed, Mixer
from labelwise.mixing._mixers import CMixup, ManifoldMixup, Mixup, OneOf, SelfMix, unmixed
from labelwise.mixing._pairs import AnchoredPairs, SupReMix
from labelwise.mixing._set_networks import LaSO, SetOperation
from labelwise.mixing._streams import AdpMix, EnMix

__all__ = [
    "AdpMix",
    "AnchoredPairs",
    "CMixup",
    "CutMix",
    "EnMix",
    "FMix",
    "LaSO",
    "ManifoldMixup",
    "Mixed",
    "Mixer",
    "Mixup",
    "OneOf",
    "ResizeMix",
    "SMMix",
    "SaliencyMix",
    "SelfMix",
    "SetOperation",
    "SupReMix",
    "TransMix",
    "beta_weights",
    "different_partners",
    "group_partners",
    "other_partners",
    "random_partners",
    "reversed_partners",
    "rolled_partners",
    "unmixed",
]

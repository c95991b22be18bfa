"""Planted label noise, with its truth: on class codes, on pictures, and by recipe on a whole table."""

from labelwise.labels.noise.codes import (
    instance_dependent,
    look_alikes,
    open_set,
    pair,
    pseudo_class,
    symmetric,
    through,
)
from labelwise.labels.noise.pictures import spoil
from labelwise.labels.noise.planting import plant

__all__ = [
    "instance_dependent",
    "look_alikes",
    "open_set",
    "pair",
    "plant",
    "pseudo_class",
    "spoil",
    "symmetric",
    "through",
]

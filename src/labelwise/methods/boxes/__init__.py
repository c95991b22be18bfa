"""Fitting detectors to pictures with boxes, and using them."""

from labelwise.methods.boxes.auditing import FOLDS, audit_boxes
from labelwise.methods.boxes.fitting import fit_boxes
from labelwise.methods.boxes.options import METHODS
from labelwise.methods.boxes.predicting import find_boxes, load_detector, read_pictures, write_found

__all__ = [
    "FOLDS",
    "METHODS",
    "audit_boxes",
    "find_boxes",
    "fit_boxes",
    "load_detector",
    "read_pictures",
    "write_found",
]

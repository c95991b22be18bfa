"""How to learn: published training methods, each a `Method`, and fitting one to a table.

Names that need PyTorch are imported when they are first used, so that listing the methods is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from labelwise.methods.registry import get, info, names, summary

__all__ = [
    "KINDS",
    "Batch",
    "Batches",
    "CrossEntropy",
    "DSelectKMethod",
    "Method",
    "Plan",
    "TaskKind",
    "fit",
    "get",
    "info",
    "load",
    "names",
    "predict",
    "summary",
    "train",
    "write_predictions",
]

_HOMES = {
    "Batch": "batch",
    "Batches": "batch",
    "CrossEntropy": "noisy",
    "DSelectKMethod": "dselect_k",
    "Method": "method",
    "KINDS": "kinds",
    "Plan": "training",
    "TaskKind": "kinds",
    "fit": "fitting",
    "load": "predicting",
    "predict": "predicting",
    "train": "training",
    "write_predictions": "predicting",
}

if TYPE_CHECKING:
    from labelwise.methods.batch import Batch, Batches
    from labelwise.methods.dselect_k import DSelectKMethod
    from labelwise.methods.fitting import fit
    from labelwise.methods.kinds import KINDS, TaskKind
    from labelwise.methods.method import Method
    from labelwise.methods.noisy import CrossEntropy
    from labelwise.methods.predicting import load, predict, write_predictions
    from labelwise.methods.training import Plan, train


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"labelwise.methods.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'labelwise.methods' has no attribute {name!r}")

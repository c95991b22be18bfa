"""Learn well from the labels you really have: audit them, train in spite of them, show what was found.

Names are imported when they are first used, so that `import labelwise` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "LabelTable": "labelwise.labels",
    "Task": "labelwise.labels",
    "read": "labelwise.labels",
    "Classifier": "labelwise.estimators",
    "Regressor": "labelwise.estimators",
}
_ROOMS = ("audit", "bench", "experts", "functional", "gates", "labels", "methods", "models", "report", "review")

__all__ = ["Classifier", "LabelTable", "Regressor", "Task", "audit", "read"]

if TYPE_CHECKING:
    from labelwise import audit
    from labelwise.estimators import Classifier, Regressor
    from labelwise.labels import LabelTable, Task, read


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"labelwise.{name}")
    raise AttributeError(f"module 'labelwise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_ROOMS})

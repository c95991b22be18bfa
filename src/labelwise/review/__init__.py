"""Mending labels: a web page over a database of verdicts."""

from typing import Any

__all__ = [
    "corrected",
    "corrected_boxes",
    "export",
    "import_verdicts",
    "migrate",
    "open_database",
    "serve",
    "statistics",
]

_WHERE = {
    "corrected": "exporting",
    "corrected_boxes": "exporting",
    "export": "exporting",
    "import_verdicts": "importing",
    "migrate": "database",
    "open_database": "database",
    "serve": "serving",
    "statistics": "standing",
}


def __getattr__(name: str) -> Any:
    # Looked up when first wanted: the web framework and the database's toolkit come with the extra `review`.
    if name not in _WHERE:
        raise AttributeError(f"module 'labelwise.review' has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(f"labelwise.review.{_WHERE[name]}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"a review needs an extra: pip install 'labelwise[review]' ({error})") from None

"""A package that can be called."""

from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """The module class of `labelwise.audit`, so that `labelwise.audit(table)` works and `labelwise.audit.necv` too.

    Setting a module's `__class__` to a subclass of `ModuleType` is the documented way to do so (Python reference,
    "Customizing module attribute access").
    """

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Find what is probably wrong with the labels of a table; see `labelwise.audit.run_audit`."""
        return self.run_audit(*args, **settings)

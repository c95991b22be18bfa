"""Modules that belong to tasks."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar, cast

from torch import nn

M = TypeVar("M", bound=nn.Module)


class ByTask(nn.Module, Generic[M]):
    """One module a task, by name. Unlike `nn.ModuleDict` it takes any name: "type", "keys", "a.b".

    Parameters of a task's module are named `task_NAME.` in the state dictionary, with "." and "%" of the name
    written as "%2E" and "%25".
    """

    def __init__(self, modules: Mapping[str, M]):
        super().__init__()
        self.names = tuple(modules)
        for name, module in modules.items():
            self.add_module(_key(name), module)

    def __getitem__(self, name: str) -> M:
        return cast(M, self._modules[_key(name)])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def items(self) -> list[tuple[str, M]]:
        """Pairs of task and module, in the order given."""
        return [(name, self[name]) for name in self.names]


def _key(name: str) -> str:
    return "task_" + name.replace("%", "%25").replace(".", "%2E")

"""Work in a process of its own, which takes what it loaded away with it."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import Any


def alone(module: str, function: str, *arguments: Any, **settings: Any) -> Any:
    """What a function, found by name, gives when it is called in another process; raises what it raises.

    Arguments and result must be such that can be pickled. `OSError` if the process was ended from outside.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_call, module, function, arguments, settings).result()
        except BrokenProcessPool:
            raise OSError(f"{function} was ended from outside (is the memory full?); start again") from None


def _call(module: str, function: str, arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    return getattr(import_module(module), function)(*arguments, **settings)

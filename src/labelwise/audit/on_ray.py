"""Parts of an audit as tasks of a Ray cluster (the extra `scale`)."""

import logging
import os
import platform
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_AHEAD = 2  # tasks a processor that are under way or wait, so that none is idle
_PATIENCE = 10  # seconds to wait for a cluster to answer


class RayCluster:
    """The cluster that this process is connected to; see `engines.spread`."""

    def __init__(self) -> None:
        import ray

        self._task = ray.remote(_call)

    def map(
        self, function: Callable[..., Any], shared: tuple[Any, ...], items: Iterable[Any], ordered: bool
    ) -> Iterator[Any]:
        """Give `function(*shared, item)` of all items, in their order or as they come, one task of one processor each.

        What a task raises is raised here. A task whose machine is lost is tried again elsewhere, three times. Where the
        work ends early, tasks under way are left to end by themselves: Ray can die of cancelling one that just ended.
        """
        import ray

        put = ray.put((function, tuple(_by_path(each) for each in shared)))
        items = iter(items)
        waiting: list[Any] = []
        try:
            while True:
                most = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))  # it may grow
                waiting += [self._task.remote(put, item) for item in islice(items, max(0, most - len(waiting)))]
                if not waiting:
                    return
                done = waiting[0] if ordered else ray.wait(waiting)[0][0]
                result = ray.get(done)
                waiting.remove(done)
                yield result
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0]
            raise OSError(f"the Ray cluster lost a part of the work ({reason}); the same command goes on") from error


def check_address() -> None:
    """Raise `ConnectionError` within seconds if `ray_cluster` would connect to an address where no one answers."""
    import ray

    address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if ray.is_initialized() or not port.isdigit():  # such as "auto": Ray finds it
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except OSError as error:
        raise ConnectionError(
            f"no Ray cluster answers at {address} ({error.strerror or error}); mend or unset RAY_ADDRESS, or start one "
            "there (`ray start --head`)"
        ) from None


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Connect to the Ray cluster that this process uses already, else to the one that `ray.init()` finds.

    That is the one at the address in the environment variable `RAY_ADDRESS`, or one that `ray start` started on this
    machine; without any, one is started here for as long as the block lasts, with a worker for each processor. Raises
    `ConnectionError` if no one answers at the address, though only after a minute: `check_address` knows sooner.
    """
    import ray

    if ray.is_initialized():
        yield RayCluster()
        return
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield RayCluster()
    finally:
        ray.shutdown()


class _File(NamedTuple):
    """Where an array lies in a file that every machine sees."""

    path: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]

    def open(self) -> np.ndarray:
        if not Path(self.path).exists():
            raise FileNotFoundError(
                f"{platform.node()} of the Ray cluster does not see {self.path}; put the run folder (--out) on a "
                "disk that all its machines share"
            )
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


def _call(put: tuple[Callable[..., Any], tuple[Any, ...]], item: Any) -> Any:
    """The task: what is called may count processors, of which it has one."""
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"
    function, shared = put
    return function(*(each.open() if isinstance(each, _File) else each for each in shared), item)


def _by_path(value: Any) -> Any:
    """Where an array lies on disk, if it is mapped from there; any other value as it is."""
    whole = value
    while isinstance(whole, np.ndarray) and isinstance(whole.base, np.ndarray):
        whole = whole.base
    if not isinstance(whole, np.memmap) or whole.filename is None or not value.flags.c_contiguous:
        return value
    inside = value.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    return _File(str(whole.filename), value.dtype, whole.offset + inside, value.shape)

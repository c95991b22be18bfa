"""Where the parts of an audit are worked on: on this machine, or on a Ray cluster."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

from labelwise.audit.on_ray import RayCluster, check_address, ray_cluster

Item = TypeVar("Item")
Result = TypeVar("Result")

ENGINES = ("local", "ray")

_cluster: ContextVar[RayCluster | None] = ContextVar("cluster", default=None)


def check_engine(name: str) -> None:
    """Raise `ValueError` unless the engine is known, `ImportError`, naming the extra, unless it is installed, and
    `ConnectionError` if it is a cluster that does not answer."""
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {name!r}")
    if name == "ray" and find_spec("ray") is None:
        raise ImportError("the engine ray needs an extra: pip install 'labelwise[scale]'")
    if name == "ray":
        check_address()


@contextmanager
def on_engine(name: str) -> Iterator[None]:
    """Work on the engine of this name, `local` or `ray`, as long as the block lasts; see `on_ray.ray_cluster`."""
    check_engine(name)
    if name == "local":
        yield
        return
    with ray_cluster() as cluster:
        before = _cluster.set(cluster)
        try:
            yield
        finally:
            _cluster.reset(before)


def is_far() -> bool:
    """Whether parts go to other machines, so that they should be large."""
    return _cluster.get() is not None


def spread(
    function: Callable[..., Result],
    shared: tuple[Any, ...],
    items: Iterable[Item],
    here: Callable[[Callable[[Item], Result], Iterable[Item]], Iterable[Result]] = map,
    ordered: bool = True,
) -> Iterator[Result]:
    """Give `function(*shared, item)` of all items: on the cluster, if there is one, else by `here`, a kind of `map`.

    A cluster takes `shared` once, whatever the number of items; arrays that are mapped from a file go by its path. It
    gives results in the order of the items if `ordered`, else as they come. No more than a few items are taken ahead.
    """
    cluster = _cluster.get()
    if cluster is not None:
        return cluster.map(function, shared, items, ordered)
    return iter(here(partial(function, *shared), items))

"""Which classes the models find likely for an item, and classes found by typing."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from labelwise.runs import file_stem


class Predictions:
    """Out-of-sample probabilities of a run, memory-mapped; `classes` are those of each task in their order.

    Raises `ValueError` for a damaged file, or one of other classes.
    """

    def __init__(self, run: Path, classes: Mapping[str, Sequence[str]]):
        self._arrays: dict[str, np.ndarray] = {}
        for task, names in classes.items():
            path = run / "probabilities" / f"{file_stem(task)}.npy"
            if not path.is_file():
                continue
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise ValueError(f"{path} is not a whole .npy file ({error}); delete it and audit again") from None
            if array.ndim != 3 or array.shape[2] != len(names):
                raise ValueError(f"{path} should be [models, n, {len(names)}]; got {list(array.shape)}; audit again")
            self._arrays[task] = array

    def of(self, row: int, task: str) -> np.ndarray | None:
        """The mean over the models of the probabilities of a row, [classes]; None if no model was asked."""
        array = self._arrays.get(task)
        return None if array is None else np.asarray(array[:, row], np.float64).mean(axis=0)


def likeliest(names: Sequence[str], probabilities: np.ndarray | None, k: int = 5) -> list[tuple[str, float]]:
    """The `k` likeliest classes, likeliest first, and how likely each is."""
    if probabilities is None:
        return []
    order = np.argsort(-probabilities, kind="stable")[:k]
    return [(names[at], float(probabilities[at])) for at in order]


def find_classes(
    names: tuple[str, ...],
    typed: str,
    *,
    under: str = "",
    above: Mapping[str, str] | None = None,
    probabilities: np.ndarray | None = None,
    limit: int = 30,
) -> list[str]:
    """The classes that hold every word that was typed, whatever the case, the best first, at most `limit`.

    The name itself first, then names that begin with what was typed, then names one of whose words begins with the
    first word, then the rest; each of these the likeliest first by `probabilities` (of the first classes in `names`),
    then by name. `above` gives the parent class of each, whose words count as well, after all others; with `under`,
    only classes below this parent class are given.
    """
    above = above or {}
    wanted = typed.casefold().split()
    whole = " ".join(wanted)
    found = []
    for at, (name, folded) in enumerate(zip(names, _folded(names), strict=True)):
        parent = above.get(name, "")
        if under and parent != under:
            continue
        if all(word in folded for word in wanted):
            rank = 0 if folded == whole else 1 if folded.startswith(whole) else 2 if f" {wanted[0]}" in folded else 3
        elif parent and all(word in f"{folded} {parent.casefold()}" for word in wanted):
            rank = 4
        else:
            continue
        chance = probabilities[at] if probabilities is not None and at < len(probabilities) else 0.0
        found.append((rank, -chance, folded, name))
    return [name for *_, name in sorted(found)[:limit]]


@lru_cache(maxsize=64)
def _folded(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.casefold() for name in names)

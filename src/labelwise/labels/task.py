"""What is asked of each example."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["single", "multi", "soft", "real", "count"]


@dataclass(frozen=True)
class Task:
    """One question that labels answer.

    `name` is also the name of the label column. `kind` says what an answer is: `single` (one class), `multi` (a set of
    classes), `soft` (a distribution over classes), `real` (a number), `count` (the proportions of classes in a bag).
    `classes` are the class names in the order of their indices (empty for `real`); a class may have no example.
    `parent` names the task whose class follows from this one's, as a genus follows from a species.
    """

    name: str
    kind: Kind = "single"
    classes: tuple[str, ...] = ()
    parent: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"kind of task {self.name!r} must be one of {', '.join(get_args(Kind))}; got {self.kind!r}"
            )
        object.__setattr__(self, "classes", tuple(str(name) for name in self.classes))
        repeated = [name for name, times in Counter(self.classes).items() if times > 1]
        if repeated:
            raise ValueError(f"classes of task {self.name!r} must differ; {repeated[0]!r} is repeated")
        if self.kind == "real" and self.classes:
            raise ValueError(f"task {self.name!r} is of kind 'real' and so has no classes; got {len(self.classes)}")
        if self.parent == self.name:
            raise ValueError(f"task {self.name!r} cannot be its own parent")

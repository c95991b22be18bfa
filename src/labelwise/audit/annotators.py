"""How good each of several annotators is, and what they say together."""

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from labelwise.audit.data_issues import SHOWN, DataIssue
from labelwise.audit.groups import significantly_worse
from labelwise.labels import LabelTable

_FEWEST = 10  # answers of an annotator that can be said anything of


class AnnotatorQuality(NamedTuple):
    """What the answers of several people say of these people, and of the truth.

    `annotators` has a row for each, worst first: `annotator`, `answers` (how many), `accuracy` (by Dawid and Skene),
    `agreement` (share of the answers that equal what most say of that example, Wawa), `agrees` (how many equal the
    consensus) and `worse` (significantly below the others). `consensus` has a row for each example: `example`, `label`
    (the most probable by Dawid and Skene) and its `probability`. `alpha` is Krippendorff's: 1 = all agree, 0 = as by
    chance; nan if no example has two answers.
    """

    annotators: pd.DataFrame
    consensus: pd.DataFrame
    alpha: float


def annotator_quality(answers: pd.DataFrame) -> AnnotatorQuality:
    """Judge annotators by each other, from one row an answer: columns `example`, `annotator`, `label` (none missing).

    By the model of Dawid and Skene (Applied Statistics 28, 1979) annotator w says k of an example of class c with
    probability e_w[k, c]; EM finds these, the classes' shares p and the truth together. Accuracy is the sum over c of
    p[c] e_w[c, c]. An annotator is `worse` if the answers that equal the consensus are significantly fewer than those
    of the others (`groups.significantly_worse`). With two annotators only agreement means much. Computed by the package
    crowd-kit.

    Raises `ValueError` for missing columns or values, for fewer than two annotators, if one answers twice about an
    example, and without crowd-kit (the extra `annotators`).
    """
    data = _checked(answers)
    try:
        from crowdkit.aggregation import DawidSkene, Wawa
        from crowdkit.metrics.data import alpha_krippendorff
    except ImportError as error:
        raise ValueError(
            f"comparing annotators needs an extra: pip install 'labelwise[annotators]' ({error})"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about how crowd-kit calls it
        model = DawidSkene().fit(data)
        agreement = Wawa().fit(data).skills_
        several = data.groupby("task")["worker"].transform("size") > 1
        alpha = float(alpha_krippendorff(data)) if several.any() else float("nan")
    probability = model.probas_.sort_index()
    label = probability.idxmax(axis=1)
    consensus = pd.DataFrame({"label": label, "probability": probability.max(axis=1)}).rename_axis("example")

    agrees = (data["label"] == data["task"].map(label)).groupby(data["worker"]).agg(["sum", "size"])
    prior, errors = model.priors_, model.errors_
    accuracy = {
        worker: sum(prior[c] * each.loc[(worker, c), c] for c in prior.index if (worker, c) in each.index)
        for worker, each in errors.groupby("worker")
    }
    frame = pd.DataFrame({"answers": agrees["size"], "accuracy": pd.Series(accuracy), "agreement": agreement})
    frame["agrees"] = agrees["sum"]
    right, number = frame["agrees"].to_numpy(np.int64), frame["answers"].to_numpy(np.int64)
    frame["worse"] = significantly_worse(right, number, int(right.sum()), int(number.sum())) & (number >= _FEWEST)
    frame = frame.rename_axis("annotator").sort_values("accuracy", kind="stable").reset_index()
    return AnnotatorQuality(frame, consensus.reset_index(), alpha)


def answers_of(table: LabelTable, tasks: Sequence[str]) -> pd.DataFrame:
    """The labels of several tasks, each of one annotator about the same question, as `annotator_quality` takes them.

    Examples are row numbers, annotators the names of the tasks; missing labels are left out. Raises `ValueError` for a
    task that is not of kind `single`, and for fewer than two with labels.
    """
    parts = []
    for name in tasks:
        task = table.task(name)
        if task.kind != "single":
            raise ValueError(f"annotators are compared on tasks of kind 'single'; {name!r} is of kind {task.kind!r}")
        codes = table.labels(name)
        rows = np.flatnonzero(codes >= 0)
        labels = np.array(task.classes, object)[codes[rows]]
        parts.append(pd.DataFrame({"example": rows, "annotator": name, "label": labels}))
    answers = pd.concat(parts, ignore_index=True)
    _checked(answers)
    return answers


def annotator_issues(answers: pd.DataFrame) -> Iterator[DataIssue]:
    """Give one issue for each annotator who is significantly worse than the others, kind `annotator`.

    `answers` as `annotator_quality` takes them, with row numbers as examples. The score is 1 - accuracy.
    """
    quality = annotator_quality(answers)
    label = quality.consensus.set_index("example")["label"]
    for each in quality.annotators[quality.annotators["worse"]].to_dict("records"):
        own = answers[answers["annotator"] == each["annotator"]]
        against = own.loc[(own["label"] != own["example"].map(label)).to_numpy(), "example"]
        why = (
            f"{each['answers'] - each['agrees']:,} of {each['answers']:,} answers differ from what all annotators say "
            f"together; accuracy {each['accuracy']:.0%} (Dawid and Skene), agreement of all {quality.alpha:.2f} "
            "(Krippendorff's alpha)"
        )
        yield DataIssue(
            "annotator",
            None,
            str(each["annotator"]),
            int(each["answers"]),
            float(np.clip(1 - each["accuracy"], 0, 1)),
            why,
            tuple(against.head(SHOWN).astype(int).tolist()),
        )


def _checked(answers: pd.DataFrame) -> pd.DataFrame:
    """The answers under the names that crowd-kit uses, labels as text."""
    lacking = [name for name in ("example", "annotator", "label") if name not in answers.columns]
    if lacking:
        raise ValueError(f"answers must have the columns example, annotator and label; there is no {lacking[0]!r}")
    data = answers[["example", "annotator", "label"]].reset_index(drop=True)
    bad = np.flatnonzero(data.isna().any(axis=1))
    if len(bad):
        raise ValueError(f"answers must not be missing; row {bad[0]} holds none: leave such rows out")
    if data["annotator"].nunique() < 2:
        raise ValueError(f"at least two annotators are needed; got {data['annotator'].nunique()}")
    twice = np.flatnonzero(data.duplicated(["example", "annotator"]))
    if len(twice):
        row = data.loc[twice[0]]
        raise ValueError(f"{row['annotator']} answers twice about example {row['example']}; keep one answer")
    return data.rename(columns={"example": "task", "annotator": "worker"})

"""From the findings of an audit to the questions of a review."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import sqlalchemy as sa

from labelwise import runs
from labelwise.review.database import Database
from labelwise.review.schema import about, finding, item, question
from labelwise.runs import RunFolder, file_stem, free_name, read_json

SAMPLE = 50
"""Labels without a finding that are asked about, by default, for each task."""

_EVERY = 10  # one item in so many is of the random sample, as long as that lasts
_ROWS = 5000  # inserted at once
_TEXT = 500  # characters of a text that a search looks through


def fill(database: Database, *, sample: int = SAMPLE, seed: int = 0) -> None:
    """Put the findings of the run into its database as questions, in the order to ask them; once, whole or not at all.

    A question is about one item and one task (or about the item itself). Mixed in are `sample` labels without finding
    of each task, drawn at random by `seed`, so that one can tell how many errors the audit overlooked.

    The order is by severity times expected gain, summed over the questions of an item, which stand together. The
    severity of a finding is its rank within its kind and task, from 1 (worst) to 0, as scores compare within these
    only. Its gain is (1 + the probability of the suggested class - that of the given) / 2: a half where no model was
    asked.
    """
    if "filled" in database.settings:
        return
    folder = RunFolder(database.run)
    tasks = [each for each in read_json(folder / "describe.json")["tasks"] if each["kind"] == "single"]
    names = [each["name"] for each in read_json(folder / "describe.json")["tasks"]]
    labels = pq.read_table(folder / runs.LABELS)
    keys = labels[free_name("id", names)].to_pylist()
    given = {each["name"]: labels[each["name"]].to_pylist() for each in tasks}

    findings = _findings(folder)
    findings["severity"] = _ranks(findings)
    findings["gain"] = _gains(folder, findings, {each["name"]: list(each["counts"]) for each in tasks})
    questions = _questions(findings)
    questions = pd.concat([questions, _sample(questions, given, sample, seed)], ignore_index=True)
    questions["position"] = _positions(questions)
    questions = questions.sort_values("position", ignore_index=True)
    ids = {pair: number for number, pair in enumerate(zip(questions["example"], questions["task"], strict=True), 1)}
    texts = _texts(folder)

    def items() -> Iterable[dict[str, Any]]:
        for row in sorted(set(questions["example"])):
            own = {name: column[row] for name, column in given.items()}
            words = [keys[row], *filter(None, own.values()), texts.get(row, "")]
            yield {"id": row, "key": keys[row], "search": "\n".join(map(str, words)).lower(), "labels": own}

    def asked() -> Iterable[dict[str, Any]]:
        for number, row in enumerate(_rows(questions), 1):
            example, task = row.pop("example"), row["task"]
            label = given[task][example] if task in given else None
            yield row | {"id": number, "item_id": example, "given": label, "state": "open", "opinions": 0}

    def found() -> Iterable[dict[str, Any]]:
        columns = ["example", "task", "kind", "score", "suggested", "why"]
        for row in _rows(findings[columns]):
            yield {"question_id": ids[row.pop("example"), row.pop("task")]} | row

    def work(connection: sa.Connection) -> None:
        if connection.scalar(sa.select(about.c.key).where(about.c.key == "filled")):
            return  # another process was faster
        _insert(connection, item, items())
        _insert(connection, question, asked())
        _insert(connection, finding, found())
        settings = {
            "filled": True,
            "sample": sample,
            "seed": seed,
            "kinds": sorted(set(questions["kinds"])),
            "rows": len(keys),
            "annotators": folder.config.get("annotators") or [],
            "tasks": [
                {"name": each["name"], "classes": list(each["counts"]), "parent": each["parent"]} for each in tasks
            ],
        }
        connection.execute(about.insert(), [{"key": key, "value": value} for key, value in settings.items()])

    database.write(work)
    database.forget()
    database.analyse()


def _findings(folder: RunFolder) -> pd.DataFrame:
    table = pq.read_table(
        folder / runs.ISSUES, columns=["example", "task", "kind", "score", "given", "suggested", "why"]
    )
    columns = table.to_pydict()
    columns["task"] = [task or "" for task in columns["task"]]
    return pd.DataFrame({name: pd.Series(values, dtype=_types(name)) for name, values in columns.items()})


def _types(name: str) -> Any:
    return {"example": np.int64, "score": np.float64}.get(name, object)


def _ranks(findings: pd.DataFrame) -> pd.Series:
    groups = findings.groupby(["kind", "task"])["score"]
    return (groups.rank(method="average") - 0.5) / groups.transform("size")


def _gains(folder: RunFolder, findings: pd.DataFrame, classes: Mapping[str, list[str]]) -> np.ndarray:
    gain = np.full(len(findings), 0.5)
    for task, known in classes.items():
        path = folder / "probabilities" / f"{file_stem(task)}.npy"
        at = np.flatnonzero(findings["task"] == task)
        if not path.is_file() or not len(at):
            continue
        try:
            probabilities = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is not a whole .npy file ({error}); delete it and audit again") from None
        code = {name: number for number, name in enumerate(known)}
        for index in at:
            row = findings.iloc[index]
            mean = probabilities[:, row["example"]].mean(axis=0)
            suggested = mean[code[row["suggested"]]] if row["suggested"] in code else mean.max()
            gain[index] = (1 + suggested - (mean[code[row["given"]]] if row["given"] in code else 0)) / 2
    return gain


def _questions(findings: pd.DataFrame) -> pd.DataFrame:
    """One row for each (example, task), what is said of it taken from its worst finding."""
    worst = findings.sort_values("severity", ascending=False, kind="stable")
    groups = worst.groupby(["example", "task"], sort=False)
    questions = groups[["severity", "gain", "suggested"]].first()  # `first` passes over what is missing
    questions["kinds"] = groups["kind"].agg(lambda kinds: " ".join(sorted(set(kinds))))
    questions["suggested"] = questions["suggested"].astype(object).where(questions["suggested"].notna(), None)
    return questions.reset_index().assign(sampled=False)


def _sample(questions: pd.DataFrame, given: Mapping[str, list[str | None]], size: int, seed: int) -> pd.DataFrame:
    """Labels that no finding is about, `size` of each task, from rows in one random order, so that tasks share rows."""
    order = np.random.default_rng(seed).permutation(len(next(iter(given.values()), [])))
    drawn = []
    for task, labels in given.items():
        flagged = set(questions.loc[questions["task"] == task, "example"])
        free = (int(row) for row in order if labels[row] is not None and row not in flagged)
        drawn += [(row, task) for row in islice(free, size)]
    frame = pd.DataFrame(drawn, columns=["example", "task"])
    return frame.assign(severity=0.0, gain=0.0, suggested=None, kinds="", sampled=True)


def _positions(questions: pd.DataFrame) -> np.ndarray:
    """Where each question stands: items by what they are worth, with one of the sample after every nine others."""
    worth = (questions["severity"] * questions["gain"]).to_numpy()
    items, of = np.unique(questions["example"], return_inverse=True)
    total = np.bincount(of, worth, minlength=len(items))
    sampled = np.bincount(of, ~questions["sampled"], minlength=len(items)) == 0
    rank = np.zeros(len(items))
    order = np.flatnonzero(~sampled)
    rank[order[np.argsort(-total[order], kind="stable")]] = np.arange(len(order))
    drawn = pd.unique(of[sampled[of]])  # in the order of the draw
    rank[drawn] = (np.arange(len(drawn)) + 1) * (_EVERY - 1) - 0.5
    position = np.empty(len(questions), np.int64)
    position[np.lexsort((-worth, of, rank[of]))] = np.arange(len(questions))
    return position


def _texts(folder: RunFolder) -> dict[int, str]:
    """What the items that the audit kept say, for search."""
    path = folder / "items.parquet"
    if not path.is_file():
        return {}
    table = pq.read_table(path, filters=[("kind", "in", ["text", "row"])])
    texts = {}
    for row, kind, content in zip(*(table[name].to_pylist() for name in ("example", "kind", "content")), strict=True):
        text = content.decode("utf-8", "replace")
        if kind == "row":
            text = " ".join(value for value in json.loads(text).values() if isinstance(value, str))
        texts[row] = text[:_TEXT]
    return texts


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    names = [str(name) for name in frame]
    return (dict(zip(names, row, strict=True)) for row in zip(*(frame[name].tolist() for name in names), strict=True))


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS:
            connection.execute(table.insert(), batch)
            batch = []
    if batch:
        connection.execute(table.insert(), batch)

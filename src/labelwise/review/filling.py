"""From the findings of an audit to the questions of a review."""

import json
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from labelwise import runs
from labelwise.review import ordering
from labelwise.review.database import Database
from labelwise.review.schema import about, finding, item, question
from labelwise.runs import RunFolder, file_stem, free_name, read_json

SAMPLE = 50
"""Labels without a finding that are asked about, by default, for each task."""

_ROWS = 5000  # in memory at once as Python objects
_TEXT = 500  # characters of a text that a search looks through


class _Questions(NamedTuple):
    """Arrays with one entry a question, in the order to ask them.

    `example` is the row, `task` its number (that of the last for questions about the item itself), `suggested` and
    `kinds` are objects, text or None.
    """

    example: np.ndarray
    task: np.ndarray
    suggested: np.ndarray
    kinds: np.ndarray
    sampled: np.ndarray
    severity: np.ndarray
    gain: np.ndarray


def fill(database: Database, *, sample: int = SAMPLE, seed: int = 0) -> None:
    """Put the findings of the run into its database as questions, in the order to ask them; once, whole or not at all.

    A question is about one item and one task (or about the item itself). Mixed in are `sample` labels without finding
    of each task, drawn at random by `seed`, so that one can tell how many errors the audit overlooked. For the order
    see `ordering`; the gain of a finding is a half where no model was asked.
    """
    if "filled" in database.settings:
        return
    folder = RunFolder(database.run)
    facts = read_json(folder / "describe.json")["tasks"]
    tasks = [
        {"name": each["name"], "classes": list(each["counts"]), "parent": each["parent"]}
        for each in facts
        if each["kind"] == "single"
    ]
    names = [each["name"] for each in tasks]
    labels = pq.ParquetFile(folder / runs.LABELS).read()
    keys, labels = labels[free_name("id", [each["name"] for each in facts])], labels.select(names)
    findings = pq.ParquetFile(folder / runs.ISSUES).read(
        columns=["example", "task", "kind", "score", "suggested", "why"]
    )
    questions, of = _ask(folder, tasks, labels, findings, sample, seed)
    settings = {
        "filled": True,
        "rows": len(labels),
        "sample": sample,
        "seed": seed,
        "tasks": tasks,
        "kinds": sorted(set(questions.kinds)),
        "annotators": folder.config.get("annotators") or [],
    }

    def work(connection: sa.Connection) -> None:
        if connection.scalar(sa.select(about.c.key).where(about.c.key == "filled")):
            return  # another process was faster
        _insert(connection, item, _items(np.unique(questions.example), keys, labels, _texts(folder)))
        _insert(connection, question, _asked(questions, [*names, ""], labels))
        _insert(connection, finding, _found(findings, of))
        connection.execute(about.insert(), [{"key": key, "value": value} for key, value in settings.items()])

    database.write(work)
    database.forget()
    database.analyse()


def _ask(
    folder: RunFolder, tasks: list[dict[str, Any]], labels: pa.Table, findings: pa.Table, sample: int, seed: int
) -> tuple[_Questions, np.ndarray]:
    """The questions, and which of them each finding belongs to, int64 [findings]."""
    names = [each["name"] for each in tasks]
    example, score = findings["example"].to_numpy(), findings["score"].to_numpy()
    task = pc.index_in(findings["task"], pa.array(names, pa.string())).fill_null(len(names)).to_numpy()
    kind = findings["kind"].combine_chunks().dictionary_encode()
    kinds, kind = kind.dictionary.to_pylist(), kind.indices.to_numpy()
    severity = ordering.severities(score, kind * (len(names) + 1) + task)
    gain = _gains(folder, tasks, labels, findings, task)

    pair, of = np.unique(example * (len(names) + 1) + task, return_inverse=True)
    worst_first = np.lexsort((-severity, of))
    start = np.searchsorted(of[worst_first], np.arange(len(pair)))
    worst = worst_first[start]
    masks = np.bitwise_or.reduceat(1 << kind.astype(np.int64)[worst_first], start) if len(pair) else worst
    names_of = {
        mask: " ".join(sorted(name for bit, name in enumerate(kinds) if mask >> bit & 1)) for mask in set(masks)
    }
    suggested = np.full(len(pair), None, object)
    some = worst_first[pc.is_valid(findings["suggested"]).to_numpy()[worst_first]]
    answered, first = np.unique(of[some], return_index=True)
    suggested[answered] = findings["suggested"].take(pa.array(some[first])).to_pylist()

    row, column = _sample(set(pair.tolist()), labels, sample, seed)
    nothing = np.zeros(len(row))
    questions = _Questions(
        np.concatenate([pair // (len(names) + 1), row]),
        np.concatenate([pair % (len(names) + 1), column]),
        np.concatenate([suggested, np.full(len(row), None, object)]),
        np.concatenate([np.array([names_of[mask] for mask in masks], object), np.full(len(row), "", object)]),
        np.concatenate([np.zeros(len(pair), bool), np.ones(len(row), bool)]),
        np.concatenate([severity[worst], nothing]),
        np.concatenate([gain[worst], nothing]),
    )
    position = ordering.positions(questions.example, questions.severity * questions.gain, questions.sampled)
    order = np.argsort(position)
    return _Questions(*(values[order] for values in questions)), position[of]


def _gains(
    folder: RunFolder, tasks: list[dict[str, Any]], labels: pa.Table, findings: pa.Table, task: np.ndarray
) -> np.ndarray:
    gain = np.full(len(findings), 0.5)
    for number, each in enumerate(tasks):
        path = folder / "probabilities" / f"{file_stem(each['name'])}.npy"
        about_it = np.flatnonzero(task == number)
        if not path.is_file() or not len(about_it):
            continue
        try:
            probabilities = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is not a whole .npy file ({error}); delete it and audit again") from None
        rows = findings["example"].to_numpy()[about_it]
        classes = pa.array(each["classes"], pa.string())
        given, suggested = (
            pc.index_in(column, classes).fill_null(-1).to_numpy()
            for column in (labels[each["name"]].take(pa.array(rows)), findings["suggested"].take(pa.array(about_it)))
        )
        gain[about_it] = ordering.gains(probabilities, rows, given, suggested)
    return gain


def _sample(taken: set[int], labels: pa.Table, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and task of labels without a finding, `size` of each task, in one order of the rows, so that tasks share."""
    order = np.random.default_rng(seed).permutation(len(labels))
    drawn: list[tuple[int, int]] = []
    for number, name in enumerate(labels.column_names):
        labelled = pc.is_valid(labels[name]).to_numpy()
        free = (row for row in order if labelled[row] and row * (labels.num_columns + 1) + number not in taken)
        drawn += [(row, number) for row in islice(free, size)]
    pairs = np.array(drawn, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _items(rows: np.ndarray, keys: pa.ChunkedArray, labels: pa.Table, texts: Mapping[int, str]) -> Iterator[dict]:
    for some in _slices(len(rows)):
        at = pa.array(rows[some])
        given = labels.take(at).to_pylist() if labels.num_columns else [{}] * len(at)
        for row, key, own in zip(rows[some].tolist(), keys.take(at).to_pylist(), given, strict=True):
            words = [key, *filter(None, own.values()), texts.get(row, "")]
            yield {"id": row, "key": key, "search": "\n".join(words).lower(), "labels": own}


def _asked(questions: _Questions, names: list[str], labels: pa.Table) -> Iterator[dict]:
    for some in _slices(len(questions.example)):
        part = _Questions(*(values[some] for values in questions))
        given = np.full(len(part.example), None, object)
        for number, name in enumerate(labels.column_names):
            about_it = part.task == number
            given[about_it] = labels[name].take(pa.array(part.example[about_it])).to_pylist()
        for number, values in enumerate(zip(given, *(values.tolist() for values in part), strict=True), some.start):
            label, example, task, suggested, kinds, sampled, severity, gain = values
            yield {
                "id": number + 1,
                "item_id": example,
                "task": names[task],
                "given": label,
                "suggested": suggested,
                "kinds": kinds,
                "sampled": sampled,
                "severity": severity,
                "gain": gain,
                "position": number,
                "state": "open",
                "opinions": 0,
            }


def _found(findings: pa.Table, of: np.ndarray) -> Iterator[dict]:
    for some in _slices(len(findings)):
        part = findings.slice(some.start, _ROWS).select(["kind", "score", "suggested", "why"]).to_pylist()
        for number, (row, belongs) in enumerate(zip(part, of[some].tolist(), strict=True), some.start):
            yield {"id": number + 1, "question_id": belongs + 1, **row}


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


def _slices(size: int) -> Iterator[slice]:
    return (slice(start, min(start + _ROWS, size)) for start in range(0, size, _ROWS))


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
    if connection.dialect.name == "sqlite":
        while batch := list(islice(rows, _ROWS)):
            connection.execute(table.insert(), batch)
    elif first := next(rows, None):  # COPY is five times as fast as INSERT
        driver: Any = connection.connection.driver_connection
        copying = f"COPY {table.name} ({', '.join(first)}) FROM STDIN"
        with driver.cursor() as cursor, cursor.copy(copying) as copy:
            for row in chain([first], rows):
                copy.write_row([json.dumps(value) if isinstance(value, dict) else value for value in row.values()])

"""Run folders as the audit and the methods leave them, made quickly: real digits, scikit-learn's predictions."""

import dataclasses
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from labelwise import report
from labelwise.audit.table_facts import write_table_facts
from labelwise.labels import LabelTable, Task, read
from labelwise.metrics import classification_scores
from labelwise.runs import RunFolder, write_json

HOSTILE = (
    '<script>alert("label")</script>',
    "</style><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "{{ 7 * 191 }}",
    "\u202eright to left",
)

NOTHING = pd.DataFrame(columns=["example", "task", "kind", "score", "given", "suggested", "why"]).astype(
    {"example": int, "score": float}
)


def write_audit(
    folder: Path,
    table: LabelTable,
    findings: pd.DataFrame,
    probabilities: Mapping[str, np.ndarray] | None = None,
    items: pd.DataFrame | None = None,
    notes: tuple[str, ...] = (),
    issues: tuple[dict[str, Any], ...] = (),
) -> Path:
    """Leave what an audit of `table` leaves."""
    run = RunFolder.start(folder, {"source": table.source, "tasks": [task.name for task in table.tasks], "seed": 0})
    names = [task.name for task in table.tasks]
    labels = table.data.select([name for name in (table.group, table.split) if name] + names).to_pandas()
    labels.insert(0, "id", table.ids)
    labels.to_parquet(folder / "labels.parquet")
    write_table_facts(run, table, None, 0)
    write_json(folder / "notes.json", list(notes))
    write_json(folder / "data_issues.json", list(issues))
    findings.assign(id=table.ids[findings["example"]] if len(findings) else []).to_parquet(folder / "issues.parquet")
    if items is not None:
        items.to_parquet(folder / "items.parquet")
    for task, values in (probabilities or {}).items():
        (folder / "probabilities").mkdir(exist_ok=True)
        np.save(folder / "probabilities" / f"{task}.npy", values.astype(np.float32))
    rates = {
        name: {
            "flagged": int((findings["task"] == name).sum()),
            "estimated_error_rate": 0.05,
            "estimated_error_interval": [0.04, 0.06],
        }
        for name in names
    }
    run.add_metrics(audit={"by_kind": findings["kind"].value_counts().to_dict(), "tasks": rates})
    return folder


def issue(**fields: Any) -> dict[str, Any]:
    """An entry of `data_issues.json`."""
    usual = {"kind": "leak", "task": "digit", "subject": "scan", "rows": 9, "score": 0.5, "why": "It tells."}
    return usual | {"examples": [3], "ids": ["3"]} | fields


def gates(weights: Mapping[str, list[float]], done: float) -> dict[str, Any]:
    """What the history says of gates on their way from equal shares to `weights`."""
    load = {task: [(1 - done) / len(row) + done * weight for weight in row] for task, row in weights.items()}
    used = {task: float(sum(weight > 0 for weight in row)) for task, row in load.items()}
    return {"load": load, "usage": load, "used": used, "entropy": dict.fromkeys(load, 1 - done), "overlap": 0.5}


def write_model(
    folder: Path,
    tasks: list[Task],
    given: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    parts: np.ndarray,
) -> Path:
    """Leave what `methods.fit` leaves: `given` are class indices [n] and `predicted` probabilities, by task."""
    settings = [dataclasses.asdict(task) for task in tasks]
    run = RunFolder.start(
        folder, {"method": "dselect-k", "options": {"experts": 4, "k": 2}, "seed": 0, "tasks": settings}
    )
    scores = {
        task.name: {
            part: classification_scores(given[task.name][parts == part], predicted[task.name][parts == part], 200)
            for part in ("validation", "test")
        }
        | {"temperature": 1.2}
        for task in tasks
    }
    weights = {
        task.name: [0.62, 0.38, 0.0, 0.0] if at % 2 == 0 else [0.0, 0.4, 0.6, 0.0] for at, task in enumerate(tasks)
    }
    overlap = {a.name: [1.0 if (i - j) % 2 == 0 else 1 / 3 for j in range(len(tasks))] for i, a in enumerate(tasks)}
    experts = {
        "tasks": weights,
        "overlap": overlap,
        "note": "mean gate weight of each expert over the validation rows",
        "notes": ["gate of 'digit': 3 experts are in use"],
    }
    run.add_metrics(method="dselect-k", tasks=scores, experts=experts, epochs=12)
    history = [
        {"epoch": e, "train_loss": 2 / e, "validation_loss": 2 / e + 0.02 * e, "gates": gates(weights, e / 12)}
        for e in range(1, 13)
    ]
    write_json(folder / "history.json", history)
    columns: dict[str, Any] = {"example": np.arange(len(parts)), "split": parts}
    for task in tasks:
        names = np.array(task.classes, object)
        columns[task.name] = names[given[task.name]]
        columns[f"{task.name}_predicted"] = names[predicted[task.name].argmax(1)]
        columns[f"{task.name}_probabilities"] = list(predicted[task.name])
    pd.DataFrame(columns).to_parquet(folder / "predictions.parquet")
    (folder / "model.safetensors").write_bytes(b"")  # the report looks whether it is there, not into it
    return folder


def suspects(table: LabelTable, task: Task, probabilities: np.ndarray) -> pd.DataFrame:
    """A finding for every row whose label the probabilities contradict."""
    given = table.labels(task.name)
    likely = probabilities.argmax(1)
    rows = np.flatnonzero(given != likely)
    score = (probabilities[rows, likely[rows]] - probabilities[rows, given[rows]] + 1) / 2
    names = np.array(task.classes, object)
    frame = pd.DataFrame(
        {
            "example": rows,
            "task": task.name,
            "kind": "label",
            "score": score,
            "given": names[given[rows]],
            "suggested": names[likely[rows]],
            "why": [
                f"Models that never saw this row give {names[b]} {s:.0%}."
                for b, s in zip(likely[rows], score, strict=True)
            ],
        }
    )
    return frame.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def pictures(table: LabelTable, rows: np.ndarray) -> pd.DataFrame:
    stacked = table.data[table.media[0]].combine_chunks().to_numpy_ndarray()
    content = []
    for row in rows:
        buffer = io.BytesIO()
        Image.fromarray(stacked[row].astype(np.uint8)).save(buffer, "PNG")
        content.append(buffer.getvalue())
    return pd.DataFrame({"example": rows, "kind": "image", "content": content})


ISSUES = (
    issue(kind="rare_class", subject="9", score=0.9, why="Only two rows."),
    issue(score=0.4, subject="file"),
    issue(score=0.6),
)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the models `raw` and `corrected`: digits with one label in twenty changed. Do not write to it."""
    clean = read("digits")
    generator = np.random.default_rng(0)
    digit, truth = clean.task("digit"), clean.labels("digit")
    noisy = truth.copy()
    wrong = generator.choice(len(clean), len(clean) // 20, replace=False)
    noisy[wrong] = (noisy[wrong] + generator.integers(1, 10, len(wrong))) % 10
    table = clean.with_labels("digit", noisy)
    pixels = clean.data[clean.media[0]].combine_chunks().to_numpy_ndarray().reshape(len(clean), -1)
    pixels = pixels / pixels.max()
    model = LogisticRegression(C=0.3, max_iter=300)
    probabilities = {
        task.name: cross_val_predict(model, pixels, table.labels(task.name), cv=3, method="predict_proba")
        for task in table.tasks
    }
    findings = pd.concat([suspects(table, task, probabilities[task.name]) for task in table.tasks], ignore_index=True)
    twins = findings.head(6).assign(
        kind="duplicate", score=1.0, suggested=None, why="Equal to row 12, which is labelled 3."
    )
    lost = findings.tail(2).assign(
        kind="unreadable", task=None, score=1.0, given=None, suggested=None, why="The picture is cut off."
    )
    findings = pd.concat([findings, twins, lost]).sort_values(
        "score", ascending=False, kind="stable", ignore_index=True
    )
    folder = tmp_path_factory.mktemp("runs") / "digits"
    items = pictures(table, findings["example"].unique())
    write_audit(
        folder, table, findings, {name: p[None] for name, p in probabilities.items()}, items, ("A note.",), ISSUES
    )
    parts = generator.choice(["train", "validation", "test"], len(clean), p=[0.5, 0.2, 0.3])
    for name, labels in (("raw", noisy), ("corrected", truth)):
        rows = parts == "train"
        given = {task.name: clean.labels(task.name) for task in clean.tasks}
        trained = {"digit": labels, "holes": given["holes"]}
        predicted = {task: model.fit(pixels[rows], y[rows]).predict_proba(pixels) for task, y in trained.items()}
        write_model(folder / name, list(clean.tasks), given, predicted, parts)
    assert digit.classes == tuple("0123456789")
    return folder


@pytest.fixture
def run(digits_run: Path, tmp_path: Path) -> Path:
    """A copy of `digits_run` to write to and to break."""
    return Path(shutil.copytree(digits_run, tmp_path / "digits"))


def made_up(
    folder: Path, classes: tuple[str, ...], codes: np.ndarray, n_findings: int, items: pd.DataFrame | None = None
) -> Path:
    """An audited run of made-up labels, with findings of two kinds and rows as items."""
    task = Task("kind <b>", classes=classes)
    table = LabelTable.from_columns(
        {"size": np.arange(len(codes)) / 7, task.name: codes}, [task], source="data <i>.csv"
    )
    rows = np.arange(n_findings) % max(1, len(codes))
    findings = pd.DataFrame(
        {
            "example": rows,
            "task": task.name,
            "kind": np.where(np.arange(n_findings) % 50 == 49, "near_duplicate", "label"),
            "score": np.linspace(1, 0, n_findings),
            "given": [classes[codes[row]] for row in rows],
            "suggested": [classes[(codes[row] + 1) % len(classes)] for row in rows],
            "why": "Neighbours disagree.",
        }
    ).astype({"example": np.int64, "score": float})
    if items is None:
        row = json.dumps({f"column {i}": i / 3 for i in range(22)}).encode()
        items = pd.DataFrame({"example": np.unique(rows), "kind": "row"}).assign(content=row)
    return write_audit(folder, table, findings, items=items.head(2000))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes an audited run of made-up labels: `make_run(classes, codes, n_findings)`."""
    return lambda *arguments: made_up(tmp_path / "made", *arguments)


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose labels, texts and notes try to be more than text. Do not write to it."""
    words = pd.DataFrame({"example": range(60), "kind": "text", "content": [HOSTILE[0].encode()] * 60})
    folder = tmp_path_factory.mktemp("runs") / "hostile"
    made_up(folder, HOSTILE, np.arange(200) % len(HOSTILE), 60, words)
    write_json(folder / "notes.json", list(HOSTILE))
    write_json(
        folder / "data_issues.json", [issue(kind="new_class", subject=word, why=word, ids=[word]) for word in HOSTILE]
    )
    return folder


@pytest.fixture(scope="session")
def digits_page(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `digits_run`."""
    return report.write(digits_run, tmp_path_factory.mktemp("pages") / "digits.html")


@pytest.fixture(scope="session")
def hostile_page(hostile_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `hostile_run`."""
    return report.write(hostile_run, tmp_path_factory.mktemp("pages") / "hostile.html")


@dataclasses.dataclass
class Opened:
    """A page in the browser, with what it complained of and what it asked the network for."""

    page: Any
    complaints: list[str]
    requests: list[str]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Opened]]:
    """Opens a file in the browser; options are those of a browser context (colour scheme, size, script on or off)."""
    contexts = []

    def open_file(path: Path, **options: Any) -> Opened:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        opened = Opened(page, [], [])
        page.on("console", lambda message: opened.complaints.append(message.text))
        page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        page.on("request", lambda request: opened.requests.append(request.url))
        page.goto(path.as_uri())
        return opened

    yield open_file
    for context in contexts:
        context.close()

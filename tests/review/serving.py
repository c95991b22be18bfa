"""A real run of digits with planted errors, and questions to a server that reviews it."""

import io
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import labelwise
from labelwise.labels import plant, read


def audit_digits(folder: Path) -> tuple[Path, dict[int, str]]:
    """Audit 500 scanned digits of which every twelfth is mislabelled; gives the run, and the true digit of each row."""
    clean = read("digits").select(np.arange(500))
    noisy, _ = plant(clean, "digit", {"symmetric": 0.05, "pair": 0.03}, seed=1)
    pixels = clean.data[clean.media[0]].combine_chunks().to_numpy_ndarray()
    columns = {
        "scan": [f"scan-{row:03d}" for row in range(500)],
        "picture": pa.array([_png(each) for each in pixels], pa.binary()),
        "digit": noisy.data["digit"],
        "holes": noisy.data["holes"],
        "writer": [f"writer {row % 43}" for row in range(500)],
    }
    source = folder / "digits.parquet"
    pq.write_table(pa.table(columns), source)
    table = read(source, ["digit", "holes"], id="scan", quiet=True)
    model = make_pipeline(FunctionTransformer(_flat), LogisticRegression(max_iter=200))
    _, run = labelwise.audit(table, run=folder / "run", models=model, folds=3, jobs=1, quiet=True)
    return run, dict(enumerate(clean.data["digit"].to_pylist()))


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _flat(pictures: np.ndarray) -> np.ndarray:
    return np.asarray(pictures).reshape(len(pictures), -1)


def ask(server: Any, path: str) -> Any:
    """What a server answers to a GET, as JSON."""
    return httpx2.get(server.address + path, timeout=30).raise_for_status().json()

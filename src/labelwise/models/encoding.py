"""Choosing an encoder for a table, using it, and keeping what it gave."""

import hashlib
import json
import os
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from labelwise.labels import LabelTable
from labelwise.models.encoder import Encoded, Encoder, is_tensor
from labelwise.runs import writing

_CLASSES = {
    "tabular": ("tabular", "TabularEncoder"),
    "pixels": ("pixels", "PixelEncoder"),
    "text": ("text", "TextEncoder"),
    "audio": ("audio", "AudioEncoder"),
    "vision": ("vision", "VisionEncoder"),
    "pair": ("pair", "PairEncoder"),
}
_FORMAT = 1
"""Part of every cache key: raise it when an encoder gives other features than before."""


def choose_encoder(table: LabelTable, text: str | None = None, vision: str | None = None) -> Encoder:
    """The encoder that fits what the table holds.

    A table that names its media (or holds nothing but one column of pictures) is read by a `PixelEncoder`,
    `TextEncoder` or `AudioEncoder`; any other by a `TabularEncoder`. `text` and `vision` name a sentence-transformers
    or transformers model, or its folder, to use instead for text or pictures. Raises `ValueError` if the table has no
    feature columns, or if a model is named for media that it does not hold.
    """
    names = table.feature_names
    if not names:
        raise ValueError(
            f"{table.source} has no feature columns; audit the labels alone with --labels-only, or bring features with "
            "--embeddings FILE.npy"
        )
    media = table.media[1] if table.media else None
    if media is None and len(names) == 1:
        held = table.data[names[0]].type
        media = "image" if is_tensor(held) and len(held.shape) > 1 else None
    for model, option, wanted in ((text, "text", "text"), (vision, "vision", "image")):
        if model and media != wanted:
            raise ValueError(f"{option}={model!r} needs a column of {wanted}s, which {table.source} does not name")
    if media is None:
        return _make("tabular")
    if media == "image":
        return _make("vision", model=vision) if vision else _make("pixels")
    return _make("text", model=text) if media == "text" else _make("audio")


def encoder_from_state(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Encoder:
    """The fitted encoder that gave this state."""
    if config.get("kind") not in _CLASSES:
        raise ValueError(f"the kind of an encoder must be one of {', '.join(_CLASSES)}; got {config.get('kind')!r}")
    return _make(config["kind"], **config.get("settings", {})).restore(config, arrays)


def encode(
    table: LabelTable,
    encoder: Encoder | None = None,
    cache: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    fit_rows: Sequence[int] | np.ndarray | None = None,
) -> Encoded:
    """Fit an encoder to the table and transform it; the result is kept on disk for the next time.

    `encoder` (default: `choose_encoder(table)`) is fitted when this returns, also where the features came from disk.
    With `fit_rows` it learns from these rows alone, as it should where others are held out.
    The cache is a folder, `cache` or else the environment variable LABELWISE_CACHE or ~/.cache/labelwise, of one file
    for each content and encoder; it may be deleted at any time, and a broken file in it is made again.
    """
    encoder = encoder or choose_encoder(table)
    if not encoder.slow:
        return _fit_transform(table, encoder, quiet, fit_rows)
    folder = Path(cache or os.environ.get("LABELWISE_CACHE") or Path.home() / ".cache" / "labelwise")
    path = folder / f"{_key(table, encoder, fit_rows)}.npz"
    if path.exists():
        try:
            return _load(path, encoder, len(table))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            warnings.warn(f"the cached features {path} are broken and are made again", UserWarning, stacklevel=2)
    encoded = _fit_transform(table, encoder, quiet, fit_rows)
    try:
        _save(path, encoder, encoded)
    except OSError as error:  # a full disk costs time next time, and nothing now
        warnings.warn(f"features could not be kept in the cache {folder}: {error}", UserWarning, stacklevel=2)
    return encoded


def _make(kind: str, **settings: Any) -> Encoder:
    module, name = _CLASSES[kind]
    made: Encoder = getattr(import_module(f"labelwise.models.{module}"), name)(**settings)
    return made


def _fit_transform(
    table: LabelTable, encoder: Encoder, quiet: bool, fit_rows: Sequence[int] | np.ndarray | None
) -> Encoded:
    if fit_rows is None:
        return encoder.fit_transform(table, quiet)
    return encoder.fit(table.select(fit_rows), quiet).transform(table, quiet)


def _key(table: LabelTable, encoder: Encoder, fit_rows: Sequence[int] | np.ndarray | None) -> str:
    columns = encoder.columns(table)
    unreadable = sorted((int(row), str(reason)) for row, reason in table.unreadable.items())
    parts = [_FORMAT, encoder.kind, encoder.settings(), columns, table.fingerprint(columns), unreadable]
    if fit_rows is not None:
        parts.append(hashlib.sha256(np.asarray(fit_rows, np.int64).tobytes()).hexdigest())
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _save(path: Path, encoder: Encoder, encoded: Encoded) -> None:
    config, arrays = encoder.state()
    facts = json.dumps({"encoder": config, "unreadable": list(encoded.unreadable.items())})
    named: dict[str, Any] = {f"state/{name}": array for name, array in arrays.items()}
    with writing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, features=encoded.features, facts=np.frombuffer(facts.encode(), np.uint8), **named)


def _load(path: Path, encoder: Encoder, rows: int) -> Encoded:
    with np.load(path, allow_pickle=False) as file:
        facts = json.loads(file["facts"].tobytes())
        features = file["features"]
        arrays = {name.removeprefix("state/"): file[name] for name in file.files if name.startswith("state/")}
    if len(features) != rows:
        raise ValueError(f"{path} holds {len(features)} rows and not {rows}")
    encoder.restore(facts["encoder"], arrays)
    return Encoded(features, {int(row): reason for row, reason in facts["unreadable"]})

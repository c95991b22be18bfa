"""Files that are written whole or not at all, and the folder that holds everything a run made."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

CONFIG = "config.yaml"
METRICS = "metrics.json"
LABELS = "labels.parquet"
ANNOTATIONS = "annotations.json"
ISSUES = "issues.parquet"
DESTABILISED = "destabilised.json"
REPORT = "report.html"
MODEL = "model.safetensors"
REVIEW = "review.sqlite"
EXAMPLES = "examples.parquet"
PREDICTIONS = "predictions.parquet"
HISTORY = "history.json"
GIVEN = "given.json"
FOUND = "found.json"
PICTURES = "pictures.parquet"

_LONGEST = 120  # characters of a file's stem, as most systems allow 255 in all


@contextmanager
def writing(path: str | os.PathLike[str], *, private: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the name `path` when the block ends well, and goes when it fails.

    A reader (or a run that starts after a kill) therefore sees the old file, the new file or none, never half of one.
    Missing parent folders are made. A `private` file is open to its owner alone. An `OSError` on the way (a full disk)
    is raised anew with the name of the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if not private:  # as mkstemp makes files; a result should be as readable as any file the user makes
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            reason = f"{error.strerror or error}; nothing was written to this file"
            raise type(error)(error.errno or errno.EIO, reason, str(path)) from error
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; the order of keys is kept."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; raises `ValueError` with the file's name if it is broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and run the command again") from None


def short_hash(*parts: Any) -> str:
    """Twelve hexadecimal digits that depend on the JSON form of `parts` alone."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_stem(name: str) -> str:
    """`name` as the stem of a file that any system takes; different names have different stems."""
    stem = quote(name, safe=" ")
    return stem if len(stem) <= _LONGEST else f"{stem[:_LONGEST]}-{short_hash(name)}"


def free_name(name: str, taken: Container[str]) -> str:
    """`name`, with as many "_" at its end as it takes to be none of `taken`."""
    while name in taken:
        name += "_"
    return name


class RunFolder:
    """A folder that holds all that one run made: its configuration, labels, probabilities, findings, models, report.

    `RunFolder(path)` opens an existing one; `RunFolder.start(path, config)` makes one, or goes on with one whose
    configuration is equal.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not (self.path / CONFIG).is_file():
            raise ValueError(f"{self.path} is not a run folder: it has no {CONFIG}; make one with `labelwise audit`")

    @classmethod
    def start(cls, path: str | os.PathLike[str], config: Mapping[str, Any]) -> "RunFolder":
        """Make the folder, or go on with it after a kill. Raises `ValueError` if it holds a run of other settings."""
        path = Path(path)
        config = json.loads(json.dumps(config, default=str))  # what YAML gives back, so that the two compare equal
        if (path / CONFIG).is_file():
            old = cls(path).config
            changed = [key for key in {**old, **config} if old.get(key) != config.get(key)]
            if changed:
                what = ", ".join(f"{key}: {old.get(key)!r} there, {config.get(key)!r} asked" for key in changed)
                raise ValueError(f"{path} holds a run with other settings ({what}); give another --out or delete it")
        elif path.exists() and not (path.is_dir() and all(entry.name.startswith(".") for entry in path.iterdir())):
            # A hidden file may be what a kill left of the very first write.
            raise ValueError(f"{path} exists and is not a run folder; give another --out")
        else:
            write_text(path / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        return cls(path)

    @classmethod
    def is_fitted(cls, path: Path, config: Mapping[str, Any], resume: bool) -> bool:
        """Whether the folder has the finished model of a run with these settings.

        Raises `ValueError` if it holds a run of other settings, and with `resume` if nothing was begun there.
        """
        if not (path / CONFIG).is_file():
            if resume:
                raise ValueError(f"there is nothing to go on with in {path}; run again without resume")
            return False
        cls.start(path, config)
        return (path / MODEL).is_file()

    @property
    def config(self) -> dict[str, Any]:
        """The settings this run was started with."""
        try:
            config = yaml.safe_load((self.path / CONFIG).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.path / CONFIG} is not valid YAML: {error}") from None
        if not isinstance(config, dict):
            raise ValueError(f"{self.path / CONFIG} should hold settings as `name: value` lines")
        return config

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured so far; empty before anything was."""
        path = self / METRICS
        return read_json(path) if path.exists() else {}

    def add_metrics(self, **values: Any) -> None:
        """Add or replace named figures in `metrics.json`."""
        write_json(self / METRICS, {**self.metrics, **values})

    def models(self) -> dict[str, Path]:
        """Folders of the models in this run by name: the run itself (named "model") and its sub-folders."""
        found = {"model": self.path} if (self / MODEL).exists() else {}
        return found | {path.parent.name: path.parent for path in sorted(self.path.glob(f"*/{MODEL}"))}

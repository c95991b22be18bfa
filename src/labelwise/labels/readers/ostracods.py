"""Label files in the format of Noisy Ostracods (Hu et al., NeurIPS 2024, arXiv 2412.02313).

Headerless lines `path,index` in `NAME_{target}_{project}_{phase}.csv[.gz]`; line i of
`NAME_{target}_{project}_guide.txt` names class i. Any set of images may be labelled in this form.
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from labelwise.labels.readers.delimited import parse, read_text
from labelwise.labels.readers.source import Source

_PHASES = {"train": "train", "val": "validation", "test": "test"}
_FILE = re.compile(r"(?P<name>.+)_(?P<target>[^_]+)_(?P<project>[^_]+)_(?P<phase>train|val|test)\.csv(\.gz)?")
_ANY_PHASE = re.compile(r"_\*(\.csv(\.gz)?)?$")


@dataclass(frozen=True)
class _LabelFile:
    path: Path
    name: str
    target: str
    project: str
    phase: str

    @property
    def guide(self) -> Path:
        return self.path.parent / f"{self.name}_{self.target}_{self.project}_guide.txt"


def is_ostracods(path: Path) -> bool:
    """Whether a path is a label file of this form, a folder of such with a guide, or a name without its phase."""
    files = _files(path)
    if any(file.guide.is_file() for file in files):
        return True
    return bool(files) and not path.is_dir() and not _has_header(files[0].path)


def read_ostracods(path: Path, labels: tuple[str, ...]) -> Source:
    """Read the label files that `path` stands for: one phase, all phases of one target, or all targets of a folder.

    Columns: `path` (the id), a task for each target, and `split` if there are several phases. Targets of one project
    are joined by path; a path that one of them lacks has no label there. A folder with several projects gives "final".
    Images are read if they lie beside the label files, at their paths. Raises `ValueError` that names file and line of
    a label that is not an index.
    """
    files = _files(path)
    if path.is_dir():
        files = _one_project(files, path)
    targets = list(dict.fromkeys(file.target for file in files))
    unknown = [name for name in labels if name not in targets]
    if unknown:
        raise ValueError(f"{path} has labels for {', '.join(targets)}; got {unknown[0]!r}")
    targets = [target for target in targets if target in labels] if labels else targets
    classes, joined = {}, None
    for target in targets:
        own = sorted(
            (file for file in files if file.target == target), key=lambda file: list(_PHASES).index(file.phase)
        )
        names = _guide(own[0])
        if names:
            classes[target] = names
        table = pa.concat_tables([_read(file, names) for file in own])
        _check_paths(table, own)
        joined = table if joined is None else _join(joined, table)
    assert joined is not None
    split: str | None = "split"
    if len({file.phase for file in files}) == 1:
        split, joined = None, joined.drop_columns("split")
    return Source(
        joined, str(path), classes, labels=tuple(targets), split=split, id="path", folder=files[0].path.parent
    )


def _files(path: Path) -> list[_LabelFile]:
    """Label files that a path stands for."""
    if path.is_dir():
        candidates = sorted(path.iterdir())
    elif path.is_file():
        candidates = [path]
    elif path.parent.is_dir() and path.name:
        prefix = _ANY_PHASE.sub("", path.name) + "_"
        candidates = sorted(file for file in path.parent.iterdir() if file.name.startswith(prefix))
    else:
        candidates = []
    matches = [(file, _FILE.fullmatch(file.name)) for file in candidates]
    files = [_LabelFile(file, *match.group("name", "target", "project", "phase")) for file, match in matches if match]
    whole = path.exists() or all(path.name.startswith(f"{file.name}_{file.target}_{file.project}") for file in files)
    return files if whole else []  # a name that only begins like others stands for none


def _has_header(path: Path) -> bool:
    """Whether the first line of a file cannot be `path,index`."""
    try:
        first = read_text(path).split(b"\n", 1)[0].decode()
    except ValueError:
        return False
    return not re.fullmatch(r"[^,]*,\s*\d+\s*", first)


def _one_project(files: list[_LabelFile], folder: Path) -> list[_LabelFile]:
    projects = {file.project for file in files if file.guide.is_file()}
    project = "final" if "final" in projects else min(projects)
    if project != "final" and len(projects) > 1:
        raise ValueError(
            f"{folder} holds several projects ({', '.join(sorted(projects))}); give the name of one, for instance "
            f"{folder / f'{files[0].name}_{files[0].target}_{project}'}"
        )
    return [file for file in files if file.project == project]


def _guide(file: _LabelFile) -> tuple[str, ...]:
    if not file.guide.is_file():
        warnings.warn(
            f"there is no {file.guide.name} beside {file.path.name}: classes are called by their index",
            UserWarning,
            stacklevel=2,
        )
        return ()
    names = tuple(line.strip() for line in read_text(file.guide).decode().splitlines())
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"line i of {file.guide} should name class i; {repeated!r} is repeated")
    return names


def _read(file: _LabelFile, names: tuple[str, ...]) -> pa.Table:
    types = {"path": pa.string(), "index": pa.string()}
    data = parse(file.path, read_text(file.path), pa.csv.ParseOptions(), list(types), types)
    text = pc.utf8_trim_whitespace(data["index"])
    whole = np.asarray(pc.match_substring_regex(text, r"^\d{1,9}$"))
    codes = np.asarray(pc.cast(pc.if_else(whole, text, "-1"), pa.int64()))
    bad = np.flatnonzero((codes < 0) | (codes >= (len(names) or np.inf)))
    if len(bad):
        expected = f"an index in [0, {len(names)}) of {file.guide.name}" if names else "a class index"
        line = int(bad[0]) + 1
        raise ValueError(f"the label must be {expected}; got {text[line - 1].as_py()!r} in line {line} of {file.path}")
    label = pa.array(names).take(pa.array(codes)) if names else pa.array(codes.astype(str))
    split = pa.array(np.full(len(data), _PHASES[file.phase]))
    return pa.table({"path": data["path"], "split": split, file.target: label})


def _check_paths(table: pa.Table, files: list[_LabelFile]) -> None:
    counts = pc.value_counts(table["path"])
    if len(counts) < len(table):
        twice = next(entry["values"].as_py() for entry in counts if entry["counts"].as_py() > 1)
        raise ValueError(f"path {twice!r} is labelled twice in {', '.join(file.path.name for file in files)}")


def _join(left: pa.Table, right: pa.Table) -> pa.Table:
    """Outer join by path: first the rows of `left` in their order, then those that only `right` has."""
    target = right.column_names[-1]
    where = pc.index_in(left["path"], value_set=right["path"].combine_chunks())
    split = right["split"].combine_chunks().take(where.combine_chunks())
    straddling = pc.index(pc.not_equal(left["split"], split), True).as_py()
    if straddling >= 0:
        raise ValueError(
            f"{left['path'][straddling].as_py()!r} is {left['split'][straddling].as_py()} in one target and "
            f"{split[straddling].as_py()} in {target}; a path must be in one part"
        )
    left = left.append_column(target, right[target].combine_chunks().take(where.combine_chunks()))
    new = right.filter(pc.invert(pc.is_in(right["path"], value_set=left["path"].combine_chunks())))
    return pa.concat_tables([left, new], promote_options="default").combine_chunks()

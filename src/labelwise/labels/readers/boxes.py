"""Pictures with boxes: COCO json, Pascal VOC, YOLO text and `.npz`."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import yaml

from labelwise.labels.box_table import BoxTable
from labelwise.labels.boxes import Boxes
from labelwise.labels.coco import PARTS, from_coco
from labelwise.labels.readers.files import IMAGE_SUFFIXES
from labelwise.labels.readers.source import check_exists


def read_boxes(source: str | os.PathLike[str]) -> BoxTable:
    """Read pictures and their boxes; pictures without boxes are taken.

    - COCO: a `.json` file; pictures lie beside it, in `images` beside it, or in `images` one folder up. Boxes of crowds
      are left out. An image may say its `split`.
    - Pascal VOC: a folder with `.xml` files, in it or in its `Annotations`; pictures lie beside them or in
      `JPEGImages`. Their pixels count from 1 and the last one is inside the box. `ImageSets/Main/train.txt` and the
      like say the split.
    - YOLO: a folder with `labels` and `images`, each maybe with `train`, `val` and `test` in it, and the classes in
      `data.yaml` (`names`) or `classes.txt`. A picture without a text file has no boxes.
    - `.npz`: encoded files in `jpeg` with `jpeg_offsets`, `boxes` [m, 4] (x1, y1, x2, y2 in pixels) with `box_offsets`,
      `box_label` [m], `class_names`, and maybe `names`, `split` with `split_names`.

    Raises `FileNotFoundError` if the source is missing, and `ValueError` that names file, picture, box and remedy if it
    is broken.
    """
    path = Path(source).expanduser()
    check_exists(path)
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".json":
        return _read_coco(path)
    if path.is_dir():
        folder = path / "Annotations" if (path / "Annotations").is_dir() else path
        if found := sorted(folder.glob("*.xml")):
            return _read_voc(path, found)
        if (path / "labels").is_dir() and (path / "images").is_dir():
            return _read_yolo(path)
    raise ValueError(
        f"{path} holds no boxes in a form that is known: a COCO .json, a folder of Pascal VOC .xml files, a folder "
        "with YOLO's images and labels, or an .npz"
    )


def _read_npz(path: Path) -> BoxTable:
    with np.load(path, allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    needed = ("jpeg", "jpeg_offsets", "boxes", "box_offsets", "box_label", "class_names")
    missing = [name for name in needed if name not in data]
    if missing:
        raise ValueError(f"{path} has no array {missing[0]!r}; boxes need {', '.join(needed)}")
    contents = [part.tobytes() for part in np.split(data["jpeg"], data["jpeg_offsets"][1:-1])]
    corners = np.split(data["boxes"].astype(np.float32), data["box_offsets"][1:-1])
    labels = np.split(data["box_label"].astype(np.int64), data["box_offsets"][1:-1])
    names = list(map(str, data.get("names", range(len(contents)))))
    split = [""] * len(contents)
    if "split" in data:
        split = [PARTS.get(str(data["split_names"][part]), "") for part in data["split"]]
    boxes = [Boxes(*each) for each in zip(corners, labels, strict=True)]
    return BoxTable(names, contents, boxes, tuple(map(str, data["class_names"])), split, str(path))


def _read_coco(path: Path) -> BoxTable:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no COCO file with images, annotations and categories ({error})") from None
    names, boxes, classes, split = from_coco(document, str(path))
    folders = [path.parent, path.parent / "images", path.parent.parent / "images"]
    contents = [_picture(folders, name, str(path)) for name in names]
    return BoxTable(names, contents, boxes, classes, split, str(path))


def _read_voc(path: Path, files: Sequence[Path]) -> BoxTable:
    found = []
    for file in files:
        try:
            root = ElementTree.parse(file).getroot()
        except ElementTree.ParseError as error:
            raise ValueError(f"{file} is not an XML file that can be read: {error}") from None
        things = []
        for at, thing in enumerate(root.iter("object")):
            sides = [thing.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
            name = thing.findtext("name")
            try:
                x1, y1, x2, y2 = (float(side) for side in sides)  # type: ignore[arg-type]
            except (TypeError, ValueError):
                raise ValueError(f"{file}, box {at}: bndbox must hold four numbers; got {sides}") from None
            if not name:
                raise ValueError(f"{file}, box {at}: it has no name of a class")
            things.append(((x1 - 1, y1 - 1, x2, y2), name))
        found.append((file, root.findtext("filename") or file.stem, things))
    classes = tuple(sorted({name for *_, things in found for _, name in things}))
    folders = [files[0].parent, path / "JPEGImages", path]
    contents = [_picture(folders, name, str(file)) for file, name, _ in found]
    boxes = [Boxes.of([(box, classes.index(name)) for box, name in things]) for *_, things in found]
    parts = _voc_parts(path / "ImageSets" / "Main")
    split = [parts.get(file.stem, "") for file in files]
    return BoxTable([name for _, name, _ in found], contents, boxes, classes, split, str(path))


def _voc_parts(folder: Path) -> dict[str, str]:
    """The split of each picture, by its name without suffix."""
    lists = {part: folder / f"{name}.txt" for name, part in PARTS.items() if (folder / f"{name}.txt").is_file()}
    return {
        line.split()[0]: part
        for part, file in lists.items()
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.strip()
    }


def _read_yolo(path: Path) -> BoxTable:
    classes = _yolo_classes(path)
    pictures = sorted(file for file in (path / "images").rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    names, contents, split, shares = [], [], [], []
    for picture in pictures:
        inside = picture.relative_to(path / "images")
        names.append(str(inside))
        contents.append(picture.read_bytes())
        split.append(PARTS.get(inside.parts[0], "") if len(inside.parts) > 1 else "")
        shares.append(_yolo_shares((path / "labels" / inside).with_suffix(".txt"), classes))
    empty = BoxTable(names, contents, [Boxes.none()] * len(names), classes, split, str(path))
    boxes = []
    for (width, height), rows in zip(empty.sizes(), shares, strict=True):
        whole = Boxes.of([((x - w / 2, y - h / 2, x + w / 2, y + h / 2), label) for (x, y, w, h), label in rows])
        boxes.append(whole.scaled(width, height))
    return BoxTable(names, contents, boxes, classes, split, str(path))


def _yolo_classes(path: Path) -> tuple[str, ...]:
    if (path / "data.yaml").is_file():
        names = (yaml.safe_load((path / "data.yaml").read_text(encoding="utf-8")) or {}).get("names")
        if isinstance(names, Mapping):
            names = [names[key] for key in sorted(names)]
        if isinstance(names, list) and names:
            return tuple(map(str, names))
    if (path / "classes.txt").is_file():
        return tuple((path / "classes.txt").read_text(encoding="utf-8").splitlines())
    raise ValueError(f"{path} does not name its classes; write them under `names` in data.yaml, or into classes.txt")


def _yolo_shares(file: Path, classes: Sequence[str]) -> list[tuple[tuple[float, ...], int]]:
    """Centre and size of each box as shares of the picture, and its class."""
    rows: list[tuple[tuple[float, ...], int]] = []
    for at, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.is_file() else ()):
        if not line.strip():
            continue
        try:
            label, *numbers = line.split()
            code, share = int(label), tuple(map(float, numbers))
        except ValueError:
            code, share = -1, ()
        if len(share) != 4:
            raise ValueError(f"{file}, line {at + 1}: it must be `class x y width height`; got {line!r}")
        if not 0 <= code < len(classes):
            raise ValueError(f"{file}, line {at + 1}: the class must be in [0, {len(classes)}); got {code}")
        rows.append((share, code))
    return rows


def _picture(folders: Sequence[Path], name: str, where: str) -> bytes:
    for folder in folders:
        for file in (folder / name, *((folder / f"{name}{suffix}") for suffix in IMAGE_SUFFIXES)):
            if file.is_file():
                return file.read_bytes()
    raise ValueError(
        f"{where}: there is no picture {name} in {', '.join(map(str, folders))}; put the pictures or the file there"
    )

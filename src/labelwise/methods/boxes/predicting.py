"""Using a detector that was fitted: rebuilt from its folder, without pickle."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from labelwise.labels import Boxes, BoxTable, read_boxes
from labelwise.labels.coco import write_coco
from labelwise.labels.readers.files import IMAGE_SUFFIXES
from labelwise.labels.readers.source import check_exists
from labelwise.methods.boxes.fitting import in_source, on_device
from labelwise.methods.privileged.detection import detect
from labelwise.models.detectors import Detector, rebuilt_detector
from labelwise.runs import MODEL, RunFolder


def load_detector(folder: str | os.PathLike[str]) -> Detector:
    """The detector, in eval mode, that `fit_boxes` left in `folder`.

    Raises `ValueError` if the folder holds no finished detector, or one that is damaged.
    """
    run = RunFolder(folder)
    if run.config.get("task") != "boxes" or "method" not in run.config:
        raise ValueError(f"{folder} holds no detector; `labelwise fit SOURCE --task boxes` makes one")
    if not (run / MODEL).is_file():
        raise ValueError(f"{folder} holds no finished detector; run its command again, it goes on where it was")
    with torch.random.fork_rng():  # the first weights are overwritten; their random numbers are nobody's business
        model = rebuilt_detector(run.metrics.get("settings"), len(run.config["classes"]))
    try:
        model.load_state_dict(load_file(run / MODEL))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{run / MODEL} is damaged or of another version ({error}); fit again") from None
    return model.eval()


def find_boxes(folder: str | os.PathLike[str], table: BoxTable) -> list[Boxes]:
    """The boxes that the detector in `folder` finds in each picture, with scores, in pixels of the source.

    The boxes of the table are not looked at. Raises as `load_detector` does.
    """
    model = on_device(load_detector(folder))
    height, width = RunFolder(folder).config["size"]
    images, _ = table.pixels((height, width))
    return in_source(detect(model, torch.from_numpy(images)), table.sizes(), (height, width))


def write_found(folder: str | os.PathLike[str], table: BoxTable, out: str | os.PathLike[str]) -> Path:
    """Write what `find_boxes` gives as COCO json, a `score` to each annotation; give the path.

    Raises as `find_boxes` does, and `ValueError` for a file of another suffix.
    """
    if Path(out).suffix != ".json":
        raise ValueError(f"found boxes are written as COCO .json; got {Path(out).name!r}")
    classes = RunFolder(folder).config["classes"]
    write_coco(out, table.names, table.sizes(), find_boxes(folder, table), classes)
    return Path(out)


def read_pictures(source: str | os.PathLike[str]) -> BoxTable:
    """Pictures to find boxes in: a picture, a folder of pictures, or anything that `read_boxes` reads.

    Raises `FileNotFoundError` if the source is missing, `ValueError` if it holds no picture.
    """
    path = Path(source).expanduser()
    check_exists(path)
    if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES:
        return read_boxes(path)
    root = path if path.is_dir() else path.parent
    files = (
        sorted(each for each in path.rglob("*") if each.suffix.lower() in IMAGE_SUFFIXES) if path.is_dir() else [path]
    )
    if not files:
        raise ValueError(f"{path} holds no picture ({', '.join(IMAGE_SUFFIXES)})")
    names = [str(each.relative_to(root)) for each in files]
    contents = [each.read_bytes() for each in files]
    return BoxTable(names, contents, [Boxes.none()] * len(files), (), [""] * len(files), str(path))

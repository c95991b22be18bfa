"""Detectors by name, and rebuilt from what a run folder keeps of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelwise.labels.nearest import nearest
from labelwise.models.detectors.base import Detector
from labelwise.models.detectors.compact import CompactDetector
from labelwise.models.detectors.hugging_face import TransformersDetector
from labelwise.models.detectors.torchvision import TORCHVISION, TorchvisionDetector

COMPACT = "compact"
PRETRAINED = {
    "d-fine": "ustc-community/dfine-small-coco",
    "rt-detr-v2": "PekingU/rtdetr_v2_r18vd",
    "yolos": "hustvl/yolos-tiny",
}
"""Short names of pretrained detectors on the Hugging Face Hub."""

_SMALL = (COMPACT, "ssd300", "ssdlite320")
_UNTRAINED = {f"{name}-untrained": name for name in TORCHVISION}


def check_detector(name: str) -> None:
    """Raise `ValueError` with the nearest name unless `name` is one that `named_detector` could know."""
    known = [COMPACT, *PRETRAINED, *TORCHVISION, *_UNTRAINED]
    if name not in known and "/" not in name and not Path(name).is_dir():
        raise ValueError(
            f"there is no detector {name!r}{nearest(name, known)} (detectors: {', '.join(known)}, and a folder or "
            "OWNER/NAME of the Hugging Face Hub with a detector of `transformers`)"
        )


def named_detector(name: str, n_classes: int) -> Detector:
    """A detector of so many classes: `compact`, one of `PRETRAINED` or `TORCHVISION`, or a folder or OWNER/NAME of
    `transformers`.

    Those of torchvision are pretrained, or, with "-untrained" after the name, not. What is new in a detector is drawn
    from torch's global random numbers. Raises `ValueError` for an unknown name, and for weights that cannot be had,
    with the remedy; `ImportError` without the extra `vision`, or `torchvision`.
    """
    check_detector(name)
    if name == COMPACT:
        return CompactDetector(n_classes)
    if name in TORCHVISION:
        return TorchvisionDetector.pretrained(name, n_classes)
    if name in _UNTRAINED:
        return TorchvisionDetector(_UNTRAINED[name], n_classes)
    source = PRETRAINED.get(name, name)
    try:
        from transformers import AutoModelForObjectDetection
    except ImportError:
        raise ImportError(f"detector {name!r} needs an extra: pip install 'labelwise[vision]'") from None
    try:
        model = AutoModelForObjectDetection.from_pretrained(source, num_labels=n_classes, ignore_mismatched_sizes=True)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"the weights of detector {name!r} could not be loaded from {source} ({reason}); fetch them where there is "
            f"a network, `hf download {source} --local-dir FOLDER`, and give that folder as the detector"
        ) from None
    return TransformersDetector(model)


def rebuilt_detector(settings: Mapping[str, Any] | None, n_classes: int) -> Detector:
    """An untrained detector of what `Detector.settings` gave; it needs no network."""
    if settings is None:
        return CompactDetector(n_classes)
    if "torchvision" in settings:
        return TorchvisionDetector.from_settings(settings, n_classes)
    return TransformersDetector.from_settings(settings)


def usual_learning_rate(name: str) -> float:
    """The step size of AdamW that suits a detector of this name."""
    return 2e-3 if name == COMPACT else 1e-3 if name in _UNTRAINED else 1e-4


def usual_side(name: str) -> int:
    """The pixels of the longer side of a picture that suit a detector of this name."""
    return 320 if _UNTRAINED.get(name, name) in _SMALL else 640

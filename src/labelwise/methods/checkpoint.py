"""Lightning checkpoints as one safetensors file: tensors as they are, everything else as JSON in the header."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from labelwise.runs import writing

_TREE = "tree"  # the one key of the safetensors header that we use


def save_tree(path: str | os.PathLike[str], tree: Any) -> None:
    """Write a tree of dicts, lists, tuples, tensors and plain values as one safetensors file, whole or not at all.

    Keys of dicts may be str, int, float, bool, None or tuples of these; values likewise, and tensors (moved to the
    CPU, made contiguous). Nothing is pickled: any other type raises `TypeError` that names the place. Subclasses of
    dict become dict.
    """
    tensors: dict[str, torch.Tensor] = {}
    document = _pack(tree, "", tensors)
    with writing(path) as temporary:
        save_file(tensors, temporary, metadata={_TREE: json.dumps(document)})


def load_tree(path: str | os.PathLike[str], device: Any = "cpu") -> Any:
    """Read what `save_tree` wrote, with its tensors on `device`; types, order and bits are as they were.

    Raises `FileNotFoundError`, or `ValueError` if the file is damaged or was written by something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            document = (file.metadata() or {})[_TREE]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        tree = _unpack(json.loads(document), tensors)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged or not a checkpoint of labelwise ({error}); delete it and run again"
        ) from None
    if tensors:
        raise ValueError(f"{path} holds tensors that belong nowhere: {', '.join(sorted(tensors)[:5])}")
    return tree


class SafetensorsIO(CheckpointIO):
    """Lightning plugin that keeps checkpoints as safetensors: `Trainer(plugins=[SafetensorsIO()])`.

    A checkpoint is written whole or not at all, and reading one runs no code of the file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`."""
        save_tree(path, checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read `path`. `map_location` is a device or None (CPU); `weights_only` is always true in effect."""
        return load_tree(path, "cpu" if map_location is None else map_location)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete `path` if it is there."""
        Path(path).unlink(missing_ok=True)


def _pack(value: Any, place: str, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON form of `value`: plain values as they are, the rest as a list that opens with its kind."""
    if isinstance(value, torch.Tensor):
        name = f"{len(tensors)}{place}"  # numbered, since the keys 1 and "1" spell the same place
        # A copy, because safetensors refuses tensors that share memory, as tied weights do.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return ["tensor", name]
    if isinstance(value, dict):
        pairs = [
            [_pack(key, f"{place}(key)", tensors), _pack(item, f"{place}/{key}", tensors)]
            for key, item in value.items()
        ]
        return ["dict", pairs]
    if type(value) in (list, tuple):
        return [type(value).__name__, [_pack(item, f"{place}/{i}", tensors) for i, item in enumerate(value)]]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(
        f"a checkpoint holds tensors, dicts, lists, tuples, numbers, text and None; got {type(value).__name__} at "
        f"{place or 'the top'}"
    )


def _unpack(document: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(document, list):
        return document
    kind, content = document
    if kind == "tensor":
        return tensors.pop(content)
    if kind == "dict":
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in content}
    items = [_unpack(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items

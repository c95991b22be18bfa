"""Pictures through a pretrained network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from labelwise.labels import LabelTable
from labelwise.models.encoder import Encoded, Encoder, blocks, is_bytes, known_unreadable, media_column, threads
from labelwise.models.pictures import decode_picture
from labelwise.progress import progress

_AT_ONCE = 32


class VisionEncoder(Encoder):
    """Encoded pictures as features [n, d] of a transformers vision model, standardised over the rows fitted to.

    `model` is a name on the Hugging Face hub or a folder, with weights as safetensors; this needs the extra
    `labelwise[vision]` and no torchvision, since pictures are resized and normalised here, by the figures of the
    model's `preprocessor_config.json`. The features are those that the model itself compares pictures by, if it does
    (CLIP, SigLIP), else the mean of its last hidden state over the picture. The state holds the name and not the model.
    """

    kind = "vision"

    def __init__(self, model: str):
        self.model = model
        self._column: str | None = None
        self._arrays: dict[str, np.ndarray] = {}
        self._network: _Network | None = None

    def settings(self) -> dict[str, Any]:  # noqa: D102
        return {"model": self.model}

    def columns(self, table: LabelTable) -> list[str]:  # noqa: D102
        return [media_column(table, None, "image")]

    def fit(self, table: LabelTable, quiet: bool = True) -> Self:  # noqa: D102
        self.fit_transform(table, quiet)
        return self

    def fit_transform(self, table: LabelTable, quiet: bool = True) -> Encoded:  # noqa: D102
        self._column = media_column(table, None, "image")
        features, unreadable = self._read(table, quiet)
        readable = np.ones(len(table), bool)
        readable[list(unreadable)] = False
        if not readable.any():
            first = f"; row 0: {unreadable[0]}" if unreadable else ""
            raise ValueError(
                f"none of the {len(table)} pictures in {self._column} of {table.source} is readable{first}"
            )
        deviation = features[readable].std(axis=0, dtype=np.float64)
        self._arrays = {
            "mean": features[readable].mean(axis=0, dtype=np.float64).astype(np.float32),
            "deviation": np.where(deviation > 1e-6, deviation, 1).astype(np.float32),
        }
        return self._normalise(features, unreadable)

    def transform(self, table: LabelTable, quiet: bool = True) -> Encoded:  # noqa: D102
        if self._column is None:
            raise ValueError("fit the encoder to a table before using it")
        return self._normalise(*self._read(table, quiet))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:  # noqa: D102
        return {"kind": self.kind, "settings": self.settings(), "column": self._column}, dict(self._arrays)

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:  # noqa: D102
        self.model = config["settings"]["model"]
        self._column = config["column"]
        self._arrays = dict(arrays)
        self._network = None
        return self

    def _read(self, table: LabelTable, quiet: bool) -> tuple[np.ndarray, dict[int, str]]:
        column = media_column(table, self._column, "image")
        held = table.data[column]
        if not is_bytes(held.type):
            raise ValueError(f"column {column} of {table.source} must hold encoded pictures; it holds {held.type}")
        network = self._network = self._network or _Network(self.model)
        unreadable = known_unreadable(table)
        parts = []
        with progress("Reading pictures", len(table), quiet) as advance, threads() as pool:
            for rows in blocks(len(table)):
                files = [None if row in unreadable else held[row].as_py() for row in range(rows.start, rows.stop)]
                decoded = list(pool.map(lambda data: decode_picture(data, network.size, 3, bicubic=True), files))
                empty = np.zeros((3, *network.size), np.float32)
                pixels = np.stack([empty if isinstance(picture, str) else picture for picture in decoded])
                for row, picture in enumerate(decoded, rows.start):
                    if isinstance(picture, str):
                        unreadable.setdefault(row, picture)
                for start in range(0, len(pixels), _AT_ONCE):
                    parts.append(network(pixels[start : start + _AT_ONCE]))
                    advance(len(parts[-1]))
        return np.concatenate(parts) if parts else np.zeros(
            (0, len(self._arrays.get("mean", ()))), np.float32
        ), unreadable

    def _normalise(self, features: np.ndarray, unreadable: dict[int, str]) -> Encoded:
        features = (features - self._arrays["mean"]) / self._arrays["deviation"]
        features[list(unreadable)] = 0
        return Encoded(features, unreadable)


class _Network:
    """A pretrained model with the size and the normalisation that its pictures need."""

    def __init__(self, name: str):
        try:
            from transformers import AutoModel
            from transformers.utils import cached_file
        except ImportError:
            raise ValueError(f"the vision model {name!r} needs an extra: pip install 'labelwise[vision]'") from None
        try:
            # Weights must be safetensors: the older form is a pickle, which could run code.
            self._model = AutoModel.from_pretrained(name, use_safetensors=True).eval()
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"cannot load the vision model {name!r}: {reason}") from None
        path = cached_file(
            name,
            "preprocessor_config.json",
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        settings = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
        self.size = self._picture_size(settings)
        self._mean = np.asarray(settings.get("image_mean", [0.5] * 3), np.float32)[:, None, None]
        self._deviation = np.asarray(settings.get("image_std", [0.5] * 3), np.float32)[:, None, None]

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Features float32 [n, d] of pictures [n, 3, height, width] in [0, 1]."""
        inputs = torch.from_numpy((pixels - self._mean) / self._deviation)
        with torch.inference_mode():
            if hasattr(self._model, "get_image_features"):
                output = self._model.get_image_features(pixel_values=inputs)
                features = output if isinstance(output, torch.Tensor) else output.pooler_output
            else:
                hidden = self._model(pixel_values=inputs).last_hidden_state
                features = hidden.mean(dim=1) if hidden.ndim == 3 else hidden.mean(dim=(2, 3))
        return features.float().numpy()

    def _picture_size(self, settings: Mapping[str, Any]) -> tuple[int, int]:
        """Height and width that the model wants: of its preprocessor, else of its own configuration."""
        config = getattr(self._model.config, "vision_config", self._model.config)
        cropped = settings.get("crop_size") if settings.get("do_center_crop") else None
        size = cropped or settings.get("size") or getattr(config, "image_size", None) or 224
        if isinstance(size, Mapping):
            size = (size["height"], size["width"]) if "height" in size else size.get("shortest_edge", 224)
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

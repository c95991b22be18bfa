"""Two modalities of the same examples."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from labelwise.labels import LabelTable, features_apart, find_medium
from labelwise.models.encoder import Encoded, Encoder
from labelwise.models.encoding import choose_encoder, encoder_from_state


class PairEncoder(Encoder):
    """Two modalities as [n, d]: the features of the first, flat, and after them those of the second.

    `second` names the feature columns of the second modality: one column of pictures, recordings or text, or any of
    numbers, categories and vectors. All other features are the first modality, which is what the table itself names as
    its media, if it does. Each has the encoder that fits it; `text` and `vision` are as in `choose_encoder`, for the
    modality that holds text or pictures. Rows are unreadable of which either cannot be read.
    """

    kind = "pair"
    slow = False

    def __init__(self, second: Sequence[str], text: str | None = None, vision: str | None = None):
        self.second = list(second)
        self.text = text
        self.vision = vision
        self._parts: list[Encoder] = []
        self._shapes: list[list[int]] = []

    def settings(self) -> dict[str, Any]:  # noqa: D102
        return {"second": self.second, "text": self.text, "vision": self.vision}

    def columns(self, table: LabelTable) -> list[str]:  # noqa: D102
        return table.feature_names

    def fit(self, table: LabelTable, quiet: bool = True) -> Self:  # noqa: D102
        tables = [find_medium(part) for part in features_apart(table, self.second, "second-modality")]
        media = [part.media[1] if part.media else None for part in tables]
        models = {"text": self.text, "image": self.vision}
        for medium, model in models.items():
            if model and medium not in media:
                raise ValueError(f"the model {model!r} needs a modality of {medium}s; {table.source} has none")
        self._parts = [
            choose_encoder(
                part, self.text if medium == "text" else None, self.vision if medium == "image" else None
            ).fit(part, quiet)
            for part, medium in zip(tables, media, strict=True)
        ]
        row = table.select([0])
        self._shapes = [list(part.transform(row).features.shape[1:]) for part in self._parts]
        return self

    def transform(self, table: LabelTable, quiet: bool = True) -> Encoded:  # noqa: D102
        if not self._parts:
            raise ValueError("fit the encoder to a table before using it")
        first, second = (part.transform(table, quiet) for part in self._parts)
        features = np.concatenate([each.features.reshape(len(table), -1) for each in (first, second)], axis=1)
        return Encoded(features, second.unreadable | first.unreadable)

    def shape(self, encoded: Encoded) -> list[Any]:
        """The shapes of both modalities."""
        return self._shapes

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:  # noqa: D102
        states = [part.state() for part in self._parts]
        arrays = {f"{at}/{name}": array for at, (_, held) in enumerate(states) for name, array in held.items()}
        learned = {"parts": [config for config, _ in states], "shapes": self._shapes}
        return {"kind": self.kind, "settings": self.settings(), **learned}, arrays

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:  # noqa: D102
        self._shapes = [list(shape) for shape in config["shapes"]]
        self._parts = [
            encoder_from_state(
                part, {name.removeprefix(f"{at}/"): held for name, held in arrays.items() if name.startswith(f"{at}/")}
            )
            for at, part in enumerate(config["parts"])
        ]
        return self

"""Text as dense features."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from labelwise.labels import LabelTable
from labelwise.models.encoder import Encoded, Encoder, is_text, known_unreadable, media_column

_MOST_TERMS = 4096
_MOST_FEATURES = 256


class TextEncoder(Encoder):
    """Text as [n, d], each row scaled to the length √d, so that features are of the order of 1 and cosines are kept.

    Without `model`: the weights of the most frequent words and pairs of words (TF-IDF with logarithmic counts), taken
    down to at most 256 dimensions by a singular value decomposition (latent semantic analysis: Deerwester et al. 1990).
    A text without any known word gives zeros. With `model`, the name or folder of a sentence-transformers model: its
    sentence embedding; this needs the extra `labelwise[text]`. The state then holds the name and not the model.

    Missing and empty texts are unreadable.
    """

    kind = "text"

    def __init__(self, model: str | None = None):
        self.model = model
        self._column: str | None = None
        self._arrays: dict[str, np.ndarray] = {}
        self._encode: Any = None

    def settings(self) -> dict[str, Any]:  # noqa: D102
        return {"model": self.model}

    def columns(self, table: LabelTable) -> list[str]:  # noqa: D102
        return [media_column(table, None, "text")]

    def fit(self, table: LabelTable, quiet: bool = True) -> Self:  # noqa: D102
        self._column = media_column(table, None, "text")
        self._encode = None
        texts, unreadable = self._texts(table)
        if len(unreadable) == len(texts):
            raise ValueError(f"column {self._column} of {table.source} holds no text")
        self._arrays = {} if self.model else _learn_terms([t for row, t in enumerate(texts) if row not in unreadable])
        return self

    def transform(self, table: LabelTable, quiet: bool = True) -> Encoded:  # noqa: D102
        if self._column is None:
            raise ValueError("fit the encoder to a table before using it")
        texts, unreadable = self._texts(table)
        if self._encode is None:
            self._encode = _sentence_model(self.model) if self.model else _Terms(self._arrays)
        features = self._encode(texts, quiet)
        length = np.sqrt(np.square(features, dtype=np.float64).sum(axis=1, keepdims=True))
        scale = np.where(length > 0, np.sqrt(features.shape[1]) / np.where(length > 0, length, 1), 0)
        features = (features * scale).astype(np.float32)
        features[list(unreadable)] = 0
        return Encoded(features, unreadable)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:  # noqa: D102
        config = {"kind": self.kind, "settings": self.settings(), "column": self._column}
        return config, dict(self._arrays)

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:  # noqa: D102
        self.model = config["settings"]["model"]
        self._column = config["column"]
        self._arrays = dict(arrays)
        self._encode = None
        return self

    def _texts(self, table: LabelTable) -> tuple[list[str], dict[int, str]]:
        column = media_column(table, self._column, "text")
        held = table.data[column]
        if not is_text(held.type):
            raise ValueError(f"column {column} of {table.source} must hold text; it holds {held.type}")
        texts = [text or "" for text in held.to_pylist()]
        unreadable = {row: "empty text" for row, text in enumerate(texts) if not text.strip()}
        return texts, unreadable | known_unreadable(table)


class _Terms:
    """TF-IDF and its projection, rebuilt from the arrays learned."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        # No word holds a line break, so that one text can hold all of them.
        terms = arrays["terms"].tobytes().decode().split("\n")
        self._vectorizer = _vectorizer(vocabulary={term: at for at, term in enumerate(terms)})
        self._vectorizer.idf_ = arrays["idf"]
        self._components = arrays["components"]

    def __call__(self, texts: list[str], quiet: bool) -> np.ndarray:
        return np.asarray(self._vectorizer.transform(texts) @ self._components.T)


def _vectorizer(**changes: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Single letters and signs count as words too: in some scripts they are.
    settings = {"ngram_range": (1, 2), "sublinear_tf": True, "token_pattern": r"(?u)\b\w+\b", "dtype": np.float32}
    return TfidfVectorizer(**settings | changes)


def _learn_terms(texts: list[str]) -> dict[str, np.ndarray]:
    """Terms (UTF-8, one a line), their weights [terms] and the projection [d, terms]."""
    from sklearn.utils.extmath import randomized_svd

    vectorizer = _vectorizer(
        min_df=1 if len(texts) < 200 else 2 if len(texts) < 20_000 else 5, max_features=_MOST_TERMS
    )
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError as error:
        raise ValueError(f"the {len(texts)} texts share no words to learn from ({error})") from None
    dimensions = min(_MOST_FEATURES, *weights.shape)
    _, _, components = randomized_svd(weights, dimensions, random_state=0)
    terms = "\n".join(vectorizer.get_feature_names_out())
    return {
        "terms": np.frombuffer(terms.encode(), np.uint8),
        "idf": np.asarray(vectorizer.idf_, np.float32),
        "components": np.ascontiguousarray(components, np.float32),
    }


def _sentence_model(name: str) -> Any:
    """A function of texts that gives their sentence embeddings [n, d]."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise ValueError(f"the text model {name!r} needs an extra: pip install 'labelwise[text]'") from None
    try:
        # Weights must be safetensors: the older form is a pickle, which could run code.
        model = SentenceTransformer(name, model_kwargs={"use_safetensors": True})
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"cannot load the text model {name!r}: {reason}") from None

    def encode(texts: list[str], quiet: bool) -> np.ndarray:
        return np.asarray(model.encode(texts, show_progress_bar=not quiet, convert_to_numpy=True), np.float32)

    return encode

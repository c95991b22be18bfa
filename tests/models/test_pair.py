import numpy as np
import pytest
import torch
from tests.models.tables import picture, table, wav

from labelwise.labels import features_apart, find_medium
from labelwise.models import MLP, PairEncoder, SmallCNN, TwoBackbones, backbone_for, encoder_from_state

RNG = np.random.default_rng(0)
PICTURES = [picture(RNG.integers(0, 256, (8, 8), np.uint8)) for _ in range(12)]
TEXTS = [f"{word} apple {at}" for at, word in enumerate(["green", "red", "sour"] * 4)]
SOUNDS = [wav((8000 * np.sin(np.arange(900) * pitch)).astype(np.int16)) for pitch in RNG.uniform(0.1, 2, 12)]


def goods():
    columns = {
        "photo": PICTURES,
        "name": TEXTS,
        "sound": SOUNDS,
        "price": RNG.normal(size=12),
        "weight": np.arange(12.0),
    }
    return table(media=("photo", "image"), source="goods.parquet", **columns)


@pytest.mark.parametrize(
    ("second", "shapes"),
    [
        (["name"], [[1, 8, 8], [12]]),
        (["sound"], [[1, 8, 8], [1, 40, 40]]),
        (["price", "weight"], [[1, 8, 8], [2]]),
        (["photo"], [[14], [1, 8, 8]]),
    ],
)
def test_each_modality_has_the_encoder_that_fits_it(second, shapes):
    given = goods()
    if second == ["photo"]:
        given = table(**{name: given.data[name].combine_chunks() for name in ("photo", "price", "weight")})
        shapes = [[2], [1, 8, 8]]
    encoder = PairEncoder(second)
    encoded = encoder.fit(given.select(np.arange(8))).transform(given)
    assert [len(shape) for shape in encoder.shape(encoded)] == [len(shape) for shape in shapes]
    sizes = [int(np.prod(shape)) for shape in encoder.shape(encoded)]
    assert encoded.features.shape == (12, sum(sizes))
    rebuilt = encoder_from_state(*encoder.state())
    assert np.array_equal(rebuilt.transform(given).features, encoded.features)
    assert rebuilt.shape(encoded) == encoder.shape(encoded)


def test_what_one_modality_sees_does_not_depend_on_the_other():
    given = goods()
    both = PairEncoder(["price", "weight"]).fit(given).transform(given).features
    rest, apart = features_apart(given, ["price", "weight"], "second")
    assert rest.media == ("photo", "image")
    assert apart.media is None
    assert (rest.feature_names, apart.feature_names) == (["photo", "name", "sound"], ["price", "weight"])
    from labelwise.models import PixelEncoder, TabularEncoder

    assert np.array_equal(both[:, :64].reshape(12, 1, 8, 8), PixelEncoder().fit(rest).transform(rest).features)
    assert np.array_equal(both[:, 64:], TabularEncoder().fit(apart).transform(apart).features)


def test_a_row_is_unreadable_if_either_modality_is():
    given = table(photo=[*PICTURES[:10], None, b"broken"], name=["", *TEXTS[1:]])
    encoded = PairEncoder(["name"]).fit(given.select(np.arange(1, 10))).transform(given)
    assert sorted(encoded.unreadable) == [0, 10, 11]


def test_one_column_of_content_names_its_medium():
    given = goods()
    apart = {name: find_medium(features_apart(given, [name], "second")[1]).media for name in given.feature_names}
    expected = {"photo": ("photo", "image"), "name": ("name", "text"), "sound": ("sound", "audio")}
    assert apart == {"price": None, "weight": None} | expected
    assert find_medium(table(colour=["red", "blue"] * 6)).media is None  # categories
    assert find_medium(given).media == ("photo", "image")


def test_what_cannot_be_a_second_modality_is_refused():
    with pytest.raises(ValueError, match="has no column 'nam'; did you mean 'name'"):
        PairEncoder(["nam"]).fit(goods())
    with pytest.raises(ValueError, match=r"all features of .* are second-modality"):
        PairEncoder(goods().feature_names).fit(goods())
    with pytest.raises(ValueError, match="'minilm' needs a modality of texts"):
        PairEncoder(["price"], text="minilm").fit(goods())
    with pytest.raises(ValueError, match="fit the encoder"):
        PairEncoder(["price"]).transform(goods())


def test_two_backbones_see_one_modality_each():
    network = backbone_for([[1, 8, 8], [5]], width=6).eval()
    assert isinstance(network, TwoBackbones)
    assert isinstance(network.first, SmallCNN)
    assert isinstance(network.second, MLP)
    assert (network.widths, network.out_features) == ((6, 6), 12)
    pictures, numbers = torch.randn(3, 1, 8, 8), torch.randn(3, 5)
    flat = torch.cat([pictures.flatten(1), numbers], 1)
    first, second = network.embed(flat)
    assert torch.equal(first, network.first(pictures))
    assert torch.equal(second, network.second(numbers))
    assert torch.equal(network(flat), torch.cat([first, second], 1))

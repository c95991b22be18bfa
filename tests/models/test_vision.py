import json

import numpy as np
import pytest
import torch
from tests.models.tables import photos, picture, table
from transformers import CLIPConfig, CLIPModel, ConvNextConfig, ConvNextModel, ViTConfig, ViTModel

from labelwise.models import VisionEncoder, encoder_from_state


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    settings = {"size": {"height": 16, "width": 16}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def rows():
    return photos([picture(noise(at, 16, 16, 3)) for at in range(40)])


def test_features_are_the_standardised_mean_of_the_last_hidden_state(vit, rows):
    encoded = VisionEncoder(str(vit)).fit_transform(rows)
    pixels = np.stack([noise(at, 16, 16, 3) for at in range(40)]) / 255
    inputs = torch.tensor((pixels - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4], dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = ViTModel.from_pretrained(vit, add_pooling_layer=False)(inputs).last_hidden_state.mean(1).numpy()
    expected = (expected - expected.mean(0)) / expected.std(0)
    assert encoded.features.dtype == np.float32
    np.testing.assert_allclose(encoded.features, expected, atol=1e-3)


def test_unreadable_pictures_are_reported(vit):
    encoded = VisionEncoder(str(vit)).fit_transform(
        photos([picture(noise(0, 9, 9, 3)), b"junk", picture(noise(1, 9, 9)), None])
    )
    assert sorted(encoded.unreadable) == [1, 3]
    assert not encoded.features[[1, 3]].any()
    assert encoded.features[[0, 2]].any(axis=1).all()


def test_state_is_plain_and_rebuilds_the_same_encoder(vit, rows):
    encoder = VisionEncoder(str(vit)).fit(rows)
    config, arrays = encoder.state()
    again = encoder_from_state(json.loads(json.dumps(config)), arrays)
    assert (again.transform(rows).features == encoder.transform(rows).features).all()
    assert encoder.transform(rows.select([])).features.shape == (0, 16)


def test_networks_of_other_kinds(tmp_path, rows):
    torch.manual_seed(0)
    ConvNextModel(ConvNextConfig(hidden_sizes=[4, 8, 8, 12], depths=[1, 1, 1, 1])).save_pretrained(
        tmp_path / "convnext"
    )
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 40, "width": 32}, "do_center_crop": True}
    (tmp_path / "convnext" / "preprocessor_config.json").write_text(json.dumps(size))
    assert VisionEncoder(str(tmp_path / "convnext")).fit_transform(rows).features.shape == (40, 12)
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    clip = CLIPConfig(
        text_config=tiny | {"vocab_size": 50},
        vision_config=tiny | {"image_size": 16, "patch_size": 8},
        projection_dim=6,
    )
    CLIPModel(clip).save_pretrained(tmp_path / "clip")
    assert VisionEncoder(str(tmp_path / "clip")).fit_transform(rows).features.shape == (40, 6)


def test_bad_input(vit, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="none of the 1 pictures in photo of photos is readable"):
        VisionEncoder(str(vit)).fit(photos([b"x"]))
    with pytest.raises(ValueError, match="must hold encoded pictures; it holds int64"):
        VisionEncoder(str(vit)).fit(table(photo=[1]))
    with pytest.raises(ValueError, match="cannot load the vision model"):
        VisionEncoder(str(tmp_path / "none")).fit(rows)
    with pytest.raises(ValueError, match="fit the encoder"):
        VisionEncoder(str(vit)).transform(rows)


def test_without_the_extra_the_remedy_is_named(monkeypatch, rows):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'labelwise\[vision\]'"):
        VisionEncoder("some/model").fit(rows)

import numpy as np
import pytest
import torch
import transformers as hf
from torch import nn

from labelwise.labels import Boxes
from labelwise.models import feature_tap, with_extra_input_channels
from labelwise.models.detectors import TransformersDetector

SMALL = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 5, "num_labels": 2}
HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
FEED = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
WIDTHS = [8, 8, 16, 16]


def resnet(kind, stages):
    names = [f"stage{stage}" for stage in stages]
    return kind(embedding_size=8, hidden_sizes=WIDTHS, depths=[1] * 4, layer_type="basic", out_features=names)


def detr_like(config, **more):
    stages = more.pop("stages", [4])
    backbone = resnet(hf.ResNetConfig, stages)
    no_timm = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
    return config(backbone_config=backbone, **no_timm, **SMALL, **HEADS, **FEED, **more)


def rt_detr_like(config, kind):
    return config(
        backbone_config=resnet(kind, [2, 3, 4]),
        encoder_in_channels=WIDTHS[1:],
        decoder_in_channels=[32] * 3,
        encoder_hidden_dim=32,
        hidden_expansion=0.5,
        num_denoising=0,
        decoder_n_points=[2, 2, 2] if config is hf.DFineConfig else 2,
        **SMALL,
        **HEADS,
        **FEED,
    )


def yolos():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return hf.YolosConfig(**sizes, image_size=[64, 64], patch_size=16, num_detection_tokens=5, num_labels=2)


MODELS = {
    "detr": lambda: hf.DetrForObjectDetection(detr_like(hf.DetrConfig)),
    "conditional_detr": lambda: hf.ConditionalDetrForObjectDetection(detr_like(hf.ConditionalDetrConfig)),
    "deformable_detr": lambda: hf.DeformableDetrForObjectDetection(
        detr_like(hf.DeformableDetrConfig, stages=[3, 4], num_feature_levels=2, disable_custom_kernels=True)
    ),
    "rt_detr_v2": lambda: hf.RTDetrV2ForObjectDetection(rt_detr_like(hf.RTDetrV2Config, hf.RTDetrResNetConfig)),
    "d_fine": lambda: hf.DFineForObjectDetection(rt_detr_like(hf.DFineConfig, hf.RTDetrResNetConfig)),
    "yolos": lambda: hf.YolosForObjectDetection(yolos()),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_family_learns_is_tapped_widened_and_answers(name):
    torch.manual_seed(0)
    model = TransformersDetector(MODELS[name]())
    images = torch.rand(2, 3, 64, 64)
    targets = [Boxes(np.array([[4, 8, 30, 40]], np.float32), np.array([1])), Boxes.none()]
    with feature_tap(model, model.tap) as tap:
        loss = model.loss(images, targets)
    features = model.feature_map(tap.features)
    assert features.shape[:2] == (2, 16)
    loss.backward()
    assert loss.isfinite()
    assert sum(p.grad.abs().sum() for p in model.parameters() if p.grad is not None) > 0
    wider = with_extra_input_channels(model, 1, path=model.first)
    more = torch.cat([images, 9 * torch.rand(2, 1, 64, 64)], 1)
    wider.loss(more, targets).backward()
    assert dict(wider.named_modules())[model.first].weight.grad[:, 3].abs().sum() > 0
    model.eval()
    wider = with_extra_input_channels(model, 1, path=model.first)
    shown = wider(more)
    own = model(images)
    assert torch.equal(shown.logits, own.logits)
    assert torch.equal(shown.pred_boxes, own.pred_boxes)
    for found in model.predict(images):
        assert set(found.labels) <= {0, 1}
        assert ((found.corners >= 0) & (found.corners <= 64)).all()
        assert (np.diff(found.scores) <= 0).all()


def test_other_models_are_refused():
    with pytest.raises(ValueError, match=r"a detector must be one of detr, .*; got Linear"):
        TransformersDetector(nn.Linear(1, 1))

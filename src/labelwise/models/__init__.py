"""Encoders, which turn examples into numbers, and backbones, which learn from those."""

from labelwise.models.audio import AudioEncoder
from labelwise.models.backbones import MLP, SmallCNN, TwoBackbones, backbone_for
from labelwise.models.encoder import Encoded, Encoder
from labelwise.models.encoding import choose_encoder, encode, encoder_from_state
from labelwise.models.pair import PairEncoder
from labelwise.models.pixels import PixelEncoder
from labelwise.models.surgery import FeatureTap, feature_tap, with_extra_input_channels
from labelwise.models.tabular import TabularEncoder
from labelwise.models.text import TextEncoder
from labelwise.models.vision import VisionEncoder
from labelwise.models.vit import Attended, Attending, SmallViT, vit_for

__all__ = [
    "MLP",
    "Attended",
    "Attending",
    "AudioEncoder",
    "Encoded",
    "Encoder",
    "FeatureTap",
    "PairEncoder",
    "PixelEncoder",
    "SmallCNN",
    "SmallViT",
    "TabularEncoder",
    "TextEncoder",
    "TwoBackbones",
    "VisionEncoder",
    "backbone_for",
    "choose_encoder",
    "encode",
    "encoder_from_state",
    "feature_tap",
    "vit_for",
    "with_extra_input_channels",
]

"""Backbones: the models that give one vector a subword."""

from .decoder import Decoder
from .encoder import Encoder
from .pretrained import LoRA, PretrainedBackbone, Quantization, TrainedTokenizer

__all__ = ["Decoder", "Encoder", "LoRA", "PretrainedBackbone", "Quantization", "TrainedTokenizer"]

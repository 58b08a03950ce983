"""Backbones: the models that compute one vector per subword."""

from .decoder_and_encoder import Decoder, Encoder
from .pretrained import LoRA, PretrainedBackbone, Quantization, TrainedTokenizer

__all__ = ["Decoder", "Encoder", "LoRA", "PretrainedBackbone", "Quantization", "TrainedTokenizer"]

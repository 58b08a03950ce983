"""Labelling on a GPU: the token-classification pipeline of transformers, and generation of instruction-tuned models."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import generation
import prediction
from gpu_run import Run
from shared import SHAPES, make_model, sentences


def measure_prediction(run: Run) -> dict[str, Any]:
    """The section `prediction`: `benchmarks/prediction.py` with an encoder and a decoder."""
    shapes = ("tiny-encoder",) if run.is_tiny else ("encoder-large", "decoder-135m")
    result = run.partial
    for shape in shapes:
        run.require(40 if run.is_gpu else 1)
        options = argparse.Namespace(
            shape=shape, data=None, repetitions=1 if run.is_tiny else 3, sentences=24 if run.is_tiny else 2000,
            search=8 if run.is_tiny else 400, precision="bf16" if run.is_gpu else "fp32",
        )  # fmt: skip
        folder = run.folder / shape
        folder.mkdir()
        result[shape] = prediction.measure(options, folder)
        run.release()
    return result


def measure_generation(run: Run) -> dict[str, Any]:
    """The section `generation`: `benchmarks/generation.py` with an untrained decoder."""
    run.require(40 if run.is_gpu else 1)
    folder = run.folder / "generation"
    base = make_language_model("tiny" if run.is_tiny else "decoder-135m", folder / "base")
    model = generation.load_untrained(base, 4 if run.is_tiny else 16, folder / "run")
    options = argparse.Namespace(sentences=8 if run.is_tiny else 128, batch_tokens=4096)
    with torch.inference_mode():
        contenders = generation.measure_contenders(model, options)
    return {"contenders": contenders, "device": str(model.device)}


def make_language_model(shape: str, folder: Path) -> Path:
    """Write a model of this shape with random weights and an output layer."""
    make_model(shape, folder, sentences(200, None))
    config = SHAPES[shape]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"eos_token": "<end>"})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder

"""Shared by the benchmarks: sentences, models with random weights, the peak rate of the machine, and tables.

Nothing is downloaded. Models have the shapes of real ones and random weights, which run at the same speed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import (
    AutoModel,
    BertConfig,
    BertTokenizerFast,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from sltk import Sentence
from sltk.nn.fused.onednn import product

SHAPES: dict[str, PretrainedConfig] = {
    "decoder-135m": LlamaConfig(
        hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, vocab_size=49152, max_position_embeddings=2048,
    ),
    "decoder-30m": LlamaConfig(
        hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8, vocab_size=6000,
        max_position_embeddings=2048,
    ),
    "minilm": BertConfig(
        hidden_size=384, intermediate_size=1536, num_hidden_layers=6, num_attention_heads=12, vocab_size=30522,
    ),
    "decoder-7b": LlamaConfig(max_position_embeddings=2048),  # the defaults of transformers are Llama 2 7B
    "tiny": LlamaConfig(
        hidden_size=64, intermediate_size=172, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=2000, max_position_embeddings=2048,
    ),
    "encoder-large": BertConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, vocab_size=30522,
    ),
    "tiny-encoder": BertConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, vocab_size=2000,
    ),
}  # fmt: skip

TYPES = ("PER", "LOC", "ORG", "MISC")
# Words per sentence in news text: many headlines of about seven, a second peak near 25, and a thin tail.
_LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 23, 26, 29, 32, 36, 42, 50)
_SHARES = (1, 5, 4, 4, 6, 8, 9, 9, 7, 5, 5, 4, 4, 5, 5, 5, 5, 4, 3, 2, 1)


def sentences(count: int | None, path: Path | None, seed: int = 0) -> list[Sentence]:
    """Sentences of a CoNLL file (all, if `count` is None), or synthetic ones of typical lengths (2,000, if None)."""
    if path is not None:
        from sltk.components.readers.conll import ConllReader

        return list(itertools.islice((s for s in ConllReader(path=path).read() if s.words), count))
    count = 2_000 if count is None else count
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices(_SYLLABLES, k=rng.choice((1, 1, 2, 2, 3)))) for _ in range(8000)]
    return [_sentence(rng, vocabulary) for _ in range(count)]


_SYLLABLES = tuple(a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er"))


def _sentence(rng: random.Random, vocabulary: Sequence[str]) -> Sentence:
    length = rng.choices(_LENGTHS, _SHARES)[0]
    # Word frequencies are skewed as in natural language, so that tokenizers split only rare words.
    words = [vocabulary[int(len(vocabulary) * rng.random() ** 3)] for _ in range(length)]
    tags = ["B-" + rng.choice(TYPES) if rng.random() < 0.15 else "O" for _ in words]
    return Sentence(words, tags)


def make_model(shape: str, folder: Path, corpus: Iterable[Sentence], seed: int = 0) -> Path:
    """Write a model of this shape with random weights, and a tokenizer trained on the corpus, to `folder`."""
    config = SHAPES[shape]
    texts = [" ".join(sentence.words) for sentence in corpus]
    train = _wordpiece if isinstance(config, BertConfig) else _byte_level
    train(texts, min(config.vocab_size - 8, 6000)).save_pretrained(folder)  # room for special tokens
    torch.manual_seed(seed)
    config.pad_token_id = 0
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def _byte_level(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" " + text for text in texts], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>")


def _wordpiece(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    )
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    return BertTokenizerFast(tokenizer_object=tokenizer)


def parameters_outside_embedding(model: torch.nn.Module) -> int:
    """Number of weights that each token is multiplied by: all except embedding tables and adapters."""
    embeddings = {id(p) for m in model.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
    return sum(p.numel() for n, p in model.named_parameters() if id(p) not in embeddings and "lora_" not in n)


@dataclass
class Rates:
    """Floating-point operations per second in products of square matrices."""

    torch: float
    """With `torch.matmul`."""
    fastest: float
    """With the fastest library that comes with torch."""

    def to_json(self, used: float) -> dict[str, Any]:
        """Both rates in GFLOP/s, and `used` operations per second as a share of each."""
        return {
            name: {"gflops": round(rate / 1e9, 1), "share": round(used / rate, 3)}
            for name, rate in vars(self).items()
        }

    @classmethod
    def best(cls, measured: Iterable[Rates]) -> Rates:
        """The maximum of several measurements."""
        pairs = [(each.torch, each.fastest) for each in measured]
        return cls(*map(max, zip(*pairs, strict=True)))


def matmul_rates(device: torch.device, precision: str = "fp32", shape: str = "") -> Rates:
    """The rates of this machine, each the best of several products; a GPU's are in bfloat16.

    For the tiny shapes, whose figures say nothing, it is one product.
    """
    repetitions = 1 if shape.startswith("tiny") else 12
    in_bfloat16 = device.type == "cuda" or precision == "bf16"
    dtype, size = torch.bfloat16 if in_bfloat16 else torch.float32, 8192 if device.type == "cuda" else 1536
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def rate(multiply: Callable[[Tensor, Tensor], Tensor]) -> float:
        multiply(left, right)
        return max(2 * size**3 / seconds(lambda: multiply(left, right), device) for _ in range(repetitions))

    of_torch = rate(torch.matmul)
    return Rates(of_torch, of_torch if in_bfloat16 else max(of_torch, rate(product)))


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Wall-clock seconds of one call."""
    _finish(device)
    start_time = time.perf_counter()
    work()
    _finish(device)
    return time.perf_counter() - start_time


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Peak:
    """Peak memory since the last `start`: of the GPU if there is one, else of this process."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _release_memory()
            _reset_high_water_mark()

    def bytes(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return _high_water_mark()


def _release_memory() -> None:
    """Return freed memory to the system: otherwise the peak of one contender would count for the next."""
    import ctypes
    import gc

    gc.collect()
    if platform.system() == "Linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _reset_high_water_mark() -> None:
    if platform.system() == "Linux":
        Path("/proc/self/clear_refs").write_text("5")


def _high_water_mark() -> int:
    if platform.system() != "Linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


@dataclass
class Measurement:
    """The repetitions of one contender."""

    words: int
    seconds: list[float]
    peak_memory_bytes: int

    @property
    def words_per_second(self) -> float:
        return self.words / statistics.median(self.seconds)

    def to_json(self) -> dict[str, Any]:
        return {
            "words_per_second": round(self.words_per_second, 1),
            "words_per_second_of_each": [round(self.words / each, 1) for each in self.seconds],
            "peak_memory_bytes": self.peak_memory_bytes,
        }


def take_turns(
    contenders: dict[str, Callable[[], float]], repetitions: int, words: int, device: torch.device
) -> dict[str, Measurement]:
    """Run the contenders in turn, `repetitions` times; each call returns the seconds to count."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    peaks = dict.fromkeys(contenders, 0)
    peak = Peak(device)
    for _ in range(repetitions):
        for name, run in contenders.items():
            peak.start()
            times[name].append(run())
            peaks[name] = max(peaks[name], peak.bytes())
    return {name: Measurement(words, times[name], peaks[name]) for name in contenders}


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that the benchmarks of models share."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--shape", choices=SHAPES, default="decoder-135m", help="model (default: decoder-135m)"
    )
    options.add_argument(
        "--data", type=Path, help="CoNLL file (default: synthetic sentences of typical lengths)"
    )
    options.add_argument("--repetitions", type=int, default=5, help="measurements per contender (default: 5)")
    options.add_argument("--json", action="store_true", help="print the results as JSON")
    return options


def machine(device: torch.device) -> dict[str, Any]:
    """The hardware and software, to report with the figures."""
    import transformers

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "device": name, "threads": torch.get_num_threads(), "torch": torch.__version__,
        "transformers": transformers.__version__, "python": platform.python_version(),
    }  # fmt: skip


def of_machine(result: dict[str, Any]) -> str:
    """One line: what the figures were measured on."""
    facts = result["machine"]
    return f"measured on {facts['device']}, {facts['threads']} threads, torch {facts['torch']}"


_AMD_FAMILIES = {
    (23, range(0x00, 0x30)): "Zen", (23, range(0x30, 0x100)): "Zen 2",
    (25, range(0x00, 0x10)): "Zen 3", (25, range(0x10, 0x20)): "Zen 4", (25, range(0x20, 0x60)): "Zen 3",
    (25, range(0x60, 0x80)): "Zen 4", (25, range(0xA0, 0xB0)): "Zen 4", (26, range(0x00, 0x100)): "Zen 5",
}  # fmt: skip
"""Generations of AMD's processors by `cpu family` and `model`."""


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The name of the processor, with its generation where that is known, since figures depend on it."""
    facts: dict[str, str] = {}
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    for line in text.partition("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        facts[key.strip()] = value.strip()
    name = facts.get("model name") or platform.processor() or platform.machine()
    family, model = facts.get("cpu family", ""), facts.get("model", "")
    if facts.get("vendor_id") != "AuthenticAMD" or not (family.isdecimal() and model.isdecimal()):
        return f"{name} (family {family}, model {model})" if family and model else name
    known = (
        g for (number, models), g in _AMD_FAMILIES.items() if number == int(family) and int(model) in models
    )
    return f"{name} ({next(known, f'family {family}, model {model}')})"


def report(result: dict[str, Any], title: str, notes: Iterable[str], as_json: bool) -> None:
    """Print the contenders as a table, with speed ratios to sltk, or everything as JSON."""
    if as_json:
        print(json.dumps(result, indent=2))
        return
    table = Table(title=title, title_justify="left")
    for column in ("contender", "words/s", "speed ratio of sltk", "peak memory"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    sltk_speed = result["contenders"]["sltk"]["words_per_second"]
    for name, scores in result["contenders"].items():
        ratio = f"{sltk_speed / scores['words_per_second']:.2f}"
        table.add_row(
            name,
            f"{scores['words_per_second']:,.0f}",
            ratio,
            f"{scores['peak_memory_bytes'] / 2**30:.2f} GiB",
        )
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)


def of_rates(rates: dict[str, Any]) -> str:
    """One line: the share of the machine's rates that sltk reaches."""
    return "; ".join(
        f"{name}: {rate['gflops']:.0f} GFLOP/s, sltk reaches {rate['share']:.2f} of it"
        for name, rate in rates.items()
    )

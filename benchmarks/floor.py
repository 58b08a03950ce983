"""A lower bound on the time of one update of LoRA training: that of its matrix products alone.

    python benchmarks/floor.py                       decoder with 135M parameters, a packed batch of 370 subwords
    python benchmarks/floor.py --tokens 1000         the same sentences in a padded batch

The share of the machine's peak rate that `benchmarks/training.py` reports cannot exceed the share printed here:
products of a batch with weights read from memory are slower than large square ones, and the products of adapters,
which the share does not count, take time too.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, PretrainedConfig

from shared import SHAPES, Rates, machine, matmul_rates, of_machine, seconds
from sltk.nn.fused.onednn import product

RANK = 64


def layers(config: PretrainedConfig) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Sizes [in, out] of the linear layers of one block, and of those with adapters (query and value)."""
    hidden, inner = config.hidden_size, config.intermediate_size
    if isinstance(config, BertConfig):
        return [(hidden, hidden)] * 4 + [(hidden, inner), (inner, hidden)], [(hidden, hidden)] * 2
    head = hidden // config.num_attention_heads
    query, value = config.num_attention_heads * head, config.num_key_value_heads * head
    attention = [(hidden, query), (hidden, value), (hidden, value), (query, hidden)]
    return [*attention, (hidden, inner), (hidden, inner), (inner, hidden)], [(hidden, query), (hidden, value)]


def products(config: PretrainedConfig, tokens: int) -> list[tuple[Tensor, Tensor]]:
    """Input and weight [out, in] of each product of one block, forward and backward."""
    factors = []
    linear, adapted = layers(config)
    for size, out in linear:
        weight = torch.randn(out, size)
        factors += [(torch.randn(tokens, size), weight), (torch.randn(tokens, out), weight.T)]
    for size, out in adapted:
        down, up = torch.randn(RANK, size), torch.randn(out, RANK)
        x, low, high = torch.randn(tokens, size), torch.randn(tokens, RANK), torch.randn(tokens, out)
        factors += [(x, down), (low, up)]  # forward
        factors += [(high, up.T), (low, down.T)]  # gradients of inputs
        factors += [(high.T, low.T), (low.T, x.T)]  # gradients of weights
    return factors


def measure(shape: str, tokens: int, repetitions: int) -> dict[str, Any]:
    """Run the benchmark and return the output of `--json`."""
    config, device = SHAPES[shape], torch.device("cpu")
    blocks = config.num_hidden_layers
    factors = [pair for _ in range(blocks) for pair in products(config, tokens)]

    def update() -> None:
        for x, weight in factors:
            product(x, weight)

    first_rates = matmul_rates(device)
    update()  # untimed
    median = statistics.median(seconds(update, device) for _ in range(repetitions))
    rates = Rates.best([first_rates, matmul_rates(device)])
    linear, adapted = layers(config)
    operations = 4 * blocks * tokens * sum(size * out for size, out in linear)
    adapter_operations = 6 * blocks * tokens * RANK * sum(size + out for size, out in adapted)
    return {
        "seconds": round(median, 3),
        "rates": rates.to_json(operations / median),
        "share_with_adapters": round((operations + adapter_operations) / median / rates.fastest, 3),
        "threads": torch.get_num_threads(),
        "tokens": tokens,
        "machine": machine(device),
    }


def main() -> None:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--shape", choices=SHAPES, default="decoder-135m", help="model (default: decoder-135m)"
    )
    parser.add_argument("--tokens", type=int, default=370, help="subwords per batch (default: 370)")
    parser.add_argument("--repetitions", type=int, default=5, help="timed updates (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    result = measure(options.shape, options.tokens, options.repetitions)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(of_machine(result))
    print(f"{result['seconds']} s per update of {result['tokens']} subwords, {result['threads']} threads")
    fastest = result["rates"]["fastest"]
    print(
        f"square products: {fastest['gflops']} GFLOP/s; training can reach at most {fastest['share']:.2f} of it"
    )


if __name__ == "__main__":
    main()

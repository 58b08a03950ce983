"""The share of words that a trained model labels differently with bfloat16 products than with float32 ones.

    python benchmarks/label_changes.py runs/smollm2_ner --data eng.testb

The data is in CoNLL columns. Both precisions label the same sentences with the same weights, one after the other.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import sltk
from shared import sentences


def measure(run: Path, data: Path, limit: int | None) -> dict[str, Any]:
    """Label the data in both precisions, and count words with different labels."""
    corpus = sentences(limit, data)
    labels = {
        precision: [prediction.tags for prediction in sltk.load(run, precision=precision).predict(corpus)]
        for precision in ("fp32", "bf16")
    }
    pairs = zip(labels["fp32"], labels["bf16"], strict=True)
    different = sum(a != b for one, other in pairs for a, b in zip(one, other, strict=True))
    words = sum(map(len, corpus))
    return {
        "words": words,
        "words_with_other_labels": different,
        "share": different / words,
    }


def main() -> None:
    """Run the benchmark and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run directory or export")
    parser.add_argument("--data", type=Path, required=True, help="CoNLL file")
    parser.add_argument("--sentences", type=int, help="label only this many sentences (default: all)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    result = measure(options.run, options.data, options.sentences)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(
        f"{result['words_with_other_labels']:,} of {result['words']:,} words have another label in bf16: "
        f"{100 * result['share']:.3f} %"
    )


if __name__ == "__main__":
    main()

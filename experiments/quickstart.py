"""The quickstart: train experiments/quickstart.yaml with the causal mask removed and with it left on.

    make quickstart

Prints each command before running it, and ends with a comparison of the two models.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNS = Path("runs")
SENTENCES = (
    "The risotto, as my uncle said, was awful.\n"
    "The goat cheese, which a friend had mentioned, proved superb, but the music was plain.\n"
)


def main() -> None:
    """Train twice, evaluate, predict, compare."""
    spec = HERE / "quickstart.yaml"
    for mask in ("0111", "0000"):
        sltk(
            "train",
            str(spec),
            "--set",
            f"backbone.unmask={mask}",
            "--output",
            f"{RUNS}/quickstart_{mask}",
            "--force",
        )
    unmasked = RUNS / "quickstart_0111"
    sltk("evaluate", str(unmasked))
    sltk("predict", str(unmasked), "-", text=SENTENCES)
    compare(unmasked, RUNS / "quickstart_0000")


def sltk(*arguments: str, text: str | None = None) -> None:
    """Print and run one sltk command."""
    print(f"\n$ sltk {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", "sltk", *arguments], input=text, text=True, check=True)


def compare(unmasked: Path, causal: Path) -> None:
    """Print the test scores of the two run directories."""
    unmasked_f1, causal_f1 = (
        json.loads((run / "metrics.json").read_text())["test"]["f1"] for run in (unmasked, causal)
    )
    print(
        f"\nTest F1 with the causal mask left on (0000):           {causal_f1:.3f}"
        f"\nTest F1 with it removed from the upper blocks (0111):  {unmasked_f1:.3f}\n"
        "\nIn these sentences, the word that decides the polarity of a term usually comes after it. With the"
        "\nmask on, no block can see that word when the term is labelled, so the model cannot know the polarity;"
        "\nwith the mask removed, it can. Both models have the same initial weights, data and number of updates."
    )


if __name__ == "__main__":
    main()

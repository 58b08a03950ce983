"""How many wrong labels `sltk check --suspects` finds, if they are planted in an annotated corpus.

    sltk convert eng.train clean.conll --reader conll --option limit=3000 --writer conll --scheme IOB2
    python benchmarks/planted_errors.py plant clean.conll "$SLTK_DATA/planted"
    sltk sweep experiments/folds_minilm_planted_errors.yaml
    sltk check experiments/folds_minilm_planted_errors.yaml --data \\
        --suspects runs/folds_minilm_planted_errors --json > "$SLTK_DATA/planted/check.json"
    python benchmarks/planted_errors.py score "$SLTK_DATA/planted"

`plant` changes a share of the spans in `planted/train.conll`: a quarter get another type, a quarter lose their last
word, or their label if they have one word, and a quarter lose their label; as many words as the last quarter, which
are in no span, get a label. A suspect is a hit if it begins in a changed place.
A suspect that is no hit need not be wrong: the corpus has errors of its own.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

KINDS = ("type", "end", "dropped", "added")


def spans_of(lines: list[str]) -> list[tuple[int, int, str]]:
    """First line, line after the last one, and type of each span of a file in IOB2; lines count from 0."""
    found: list[tuple[int, int, str]] = []
    for number, line in enumerate(lines):
        prefix, _, label = line.rpartition("\t")[2].partition("-")
        if prefix == "B":
            found.append((number, number + 1, label))
        elif prefix == "I":
            start, _, label = found.pop()
            found.append((start, number + 1, label))
    return found


def plant(source: Path, folder: Path, share: float, seed: int) -> None:
    """Write `train.conll` with wrong labels, and `planted.json`, which has their lines."""
    lines = source.read_text(encoding="utf-8").splitlines()
    spans = spans_of(lines)
    draw = random.Random(seed)
    types = sorted({label for _, _, label in spans})
    outside = [(n, n + 1, "O") for n, line in enumerate(lines) if line.endswith("\tO") and line[0].isalpha()]
    places = draw.sample(spans, round(share * len(spans)))
    added = len(places) // len(KINDS)
    places[:added] = draw.sample(outside, added)
    planted = []
    for number, (start, end, label) in enumerate(sorted(places)):
        kind = "added" if label == "O" else KINDS[number % (len(KINDS) - 1)]
        other = draw.choice([each for each in types if each != label])
        new = {"type": other, "added": other, "end": label}.get(kind)
        last = end - 1 if kind == "end" else end
        for line in range(start, end):
            word = lines[line].rpartition("\t")[0]
            tag = f"{'B' if line == start else 'I'}-{new}" if new and line < last else "O"
            lines[line] = f"{word}\t{tag}"
        planted.append({"first": start + 1, "last": end, "kind": "dropped" if last == start else kind})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.conll").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (folder / "planted.json").write_text(json.dumps(planted), encoding="utf-8")
    print(f"{len(planted)} of {len(spans)} spans changed: {dict(Counter(each['kind'] for each in planted))}")


def score(folder: Path) -> dict[str, Any]:
    """Share of hits among the probable errors, and share of the planted errors that they hit."""
    suspects = json.loads((folder / "check.json").read_text(encoding="utf-8"))["suspects"]
    planted = json.loads((folder / "planted.json").read_text(encoding="utf-8"))
    error_of = {
        line: number for number, each in enumerate(planted) for line in range(each["first"], each["last"] + 1)
    }
    probable = [each for each in suspects["listed"] if each["probable"]]
    hits = [error_of.get(int(each["place"].rpartition(":")[2])) for each in probable]
    found = {number for number in hits if number is not None}
    kinds = Counter(each["kind"] for each in planted)
    found_kinds = Counter(planted[number]["kind"] for number in found)
    return {
        "agreement_f1": suspects["f1"],
        "probable": len(probable),
        "hits_among_first": {
            k: sum(hit is not None for hit in hits[:k]) for k in (25, 50, 100, 200) if k <= len(hits)
        },
        "hits": sum(hit is not None for hit in hits),
        "planted": len(planted),
        "found": len(found),
        "found_by_kind": {kind: f"{found_kinds[kind]} of {kinds[kind]}" for kind in KINDS},
        "disagreements": suspects["disagreements"],
    }


def main() -> None:
    """Plant the errors, or print how many were found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    planting = commands.add_parser("plant")
    planting.add_argument("source", type=Path)
    planting.add_argument("folder", type=Path)
    planting.add_argument("--share", type=float, default=0.03)
    planting.add_argument("--seed", type=int, default=0)
    commands.add_parser("score").add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.command == "plant":
        plant(options.source, options.folder, options.share, options.seed)
    else:
        print(json.dumps(score(options.folder), indent=2))


if __name__ == "__main__":
    main()

"""Draw the paper's Figure 3 in the style of `sltk report`, from values read off the published plots.

    python experiments/paper/published_figure3.py FOLDER

The values are means of five seeds on validation, accurate to about ± 0.01 (docs/reports/records/figure3_published.csv).
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

from sltk.reports.figures import checkpoint_curves
from sltk.reports.plotting import save, style
from sltk.reports.study import Summary

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "reports" / "records" / "figure3_published.csv"


def main(folder: Path) -> None:
    """Write `figure3_published` as PNG, SVG and PDF."""
    curves: dict[str, dict[str, dict[int, Summary]]] = defaultdict(lambda: defaultdict(dict))
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            curves[row["task"]][row["curve"]][int(row["checkpoint"])] = Summary(float(row["f1"]))
    with style():
        save(checkpoint_curves(curves), folder, "figure3_published")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

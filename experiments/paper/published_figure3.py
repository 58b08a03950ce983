"""Plot the curves of the paper's Figure 3, read from its plots, in the format of `sltk report`.

    python experiments/paper/published_figure3.py FOLDER

The numbers are means of five seeds on validation, to about ± 0.01 (docs/reports/records/figure3_published.csv).
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

from sltk.reports.figures import Point, checkpoint_curves
from sltk.reports.plotting import save, style

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "reports" / "records" / "figure3_published.csv"


def main(folder: Path) -> None:
    """Write `figure3_published` as PNG, SVG and PDF."""
    curves: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            curves[row["task"]][row["curve"]].append(Point(int(row["checkpoint"]), float(row["f1"]), None))
    with style():
        save(checkpoint_curves(curves), folder, "figure3_published")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Write a report as HTML, Markdown, LaTeX and CSV, with all text escaped."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..files import web_page
from ..files.safety import csv_cell, printable
from ..files.web_page import escape_text
from .result_tables import ResultTable, all_runs
from .study import StudyTask

_STYLE = """body { font-size: 1rem; line-height: 1.6; max-width: 76rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 2px solid var(--rule);
  padding-top: 1rem; } h3 { font-size: 1rem; margin: 1.8rem 0 .4rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th.long, td.long { white-space: normal; min-width: 14rem; text-align: left; color: var(--faint); }
tr.strong td { font-weight: 700; }
p.note { color: var(--faint); font-size: .85rem; max-width: 46rem; margin: .4rem 0; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
figcaption { color: var(--faint); font-size: .85rem; }
"""


_SCREEN = 60
"""Width of a figure on a screen in percent of its pixels, so that its text is as large as the text around it."""


@dataclass(frozen=True)
class Picture:
    """A figure: the name of its files, a caption, and the PNG file's bytes."""

    name: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Section:
    """A heading with sentences, pictures and tables below it."""

    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[ResultTable] = ()
    pictures: Sequence[Picture] = ()


def html(title: str, sections: Sequence[Section]) -> str:
    """A single page without scripts that needs no other file."""
    parts = [web_page.opening(title, _STYLE), f"<h1>{escape_text(title)}</h1>\n"]
    for section in sections:
        parts.append(f"<h2>{escape_text(section.title)}</h2>\n")
        parts += [f"<p>{escape_text(sentence)}</p>\n" for sentence in section.sentences]
        parts += map(_html_picture, section.pictures)
        parts += map(_html_table, section.tables)
    return "".join([*parts, web_page.ENDING])


def _html_picture(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    caption = escape_text(picture.caption)
    width = int.from_bytes(picture.png[16:20], "big") * _SCREEN // 100  # from the PNG header
    return (
        f'<figure><img alt="{caption}" width="{width}" src="data:image/png;base64,{data}">\n'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _html_table(table: ResultTable) -> str:
    head = "".join(_html_cell(name, name, "th") for name in table.columns)
    rows = []
    for number, row in enumerate(table.rows):
        strong = ' class="strong"' if number == table.best_row else ""
        cells = map(_html_cell, table.columns, row)
        rows.append(f"<tr{strong}>{''.join(cells)}</tr>\n")
    note = f'<p class="note">{escape_text(table.note)}</p>\n' if table.note else ""
    return (
        f'<h3>{escape_text(table.title)}</h3>\n<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{''.join(rows)}</tbody>\n</table></div>\n{note}"
    )


def _html_cell(column: str, text: str, tag: str = "td") -> str:
    long = ' class="long"' if column == "notes" else ""
    return f"<{tag}{long}>{escape_text(text)}</{tag}>"


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The same as Markdown, with links to the figures."""
    parts = [f"# {_plain(title)}\n"]
    for section in sections:
        parts.append(f"## {_plain(section.title)}\n")
        parts += [f"{_plain(sentence)}\n" for sentence in section.sentences]
        parts += [f"![{_plain(each.caption)}](figures/{each.name}.png)\n" for each in section.pictures]
        parts += map(_markdown_table, section.tables)
    return "\n".join(parts)


def _markdown_table(table: ResultTable) -> str:
    lines = [f"### {_plain(table.title)}\n", _markdown_row(map(_plain, table.columns))]
    lines.append(_markdown_row(["---"] + ["---:"] * (len(table.columns) - 1)))
    for number, row in enumerate(table.rows):
        bold = "**" if number == table.best_row else ""
        lines.append(_markdown_row(f"{bold}{_plain(cell)}{bold}" if cell else "" for cell in row))
    return "\n".join([*lines, *(["", _plain(table.note)] if table.note else []), ""])


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Escape text so that Markdown shows it literally."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", printable(text))


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$",
}  # fmt: skip


def latex(tasks: Sequence[StudyTask]) -> str:
    """A table of means and deviations, for `booktabs`: one row per configuration, one column per split of each task."""
    heads, rules, end = [], [], 1
    for task in tasks:
        width = len(task.splits)
        heads.append(rf"\multicolumn{{{width}}}{{c}}{{{_tex(task.name)}}}")
        rules.append(rf"\cmidrule(lr){{{end + 1}-{end + width}}}")
        end += width
    splits = [split for task in tasks for split in task.splits]
    labels = dict.fromkeys(each.label for task in tasks for each in task.configurations)
    lines = [
        "% Needs \\usepackage{booktabs}. Mean ± sample standard deviation over seeds, in points;",
        "% bold: best by validation.",
        rf"\begin{{tabular}}{{l{'r' * len(splits)}}}",
        r"\toprule",
        rf" & {' & '.join(heads)} \\",
        " ".join(rules),
        rf"configuration & {' & '.join(splits)} \\",
        r"\midrule",
        *(rf"{' & '.join([_tex(label), *_latex_cells(tasks, label)])} \\" for label in labels),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex_cells(tasks: Sequence[StudyTask], label: str) -> Iterator[str]:
    for task in tasks:
        match = next((each for each in task.configurations if each.label == label), None)
        is_best = len(task.configurations) > 1 and match is task.best(task.splits[0])
        for split in task.splits:
            text = _tex(match.summary(split).points()) if match else "--"
            yield rf"\textbf{{{text}}}" if is_best else text


def _tex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in printable(text))


_MEASURES = ("precision", "recall", "f1", "accuracy")
_COSTS = ("steps", "seconds", "words_per_second", "peak_memory_bytes", "trained_parameters")
_ADDED_COSTS = ("words_per_cpu_second", "prediction_words_per_second", "prediction_words_per_cpu_second")
"""Costs that older runs lack: columns if any run has them."""


def results_csv(tasks: Sequence[StudyTask]) -> str:
    """One row per run; scores are fractions. No cell is a formula or has control characters."""
    scores = [(split, name) for split in ("validation", "test") for name in _MEASURES]
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    heads = ("task", "run", "configuration", "mask", "seed", *map("_".join, scores), *_COSTS)
    added = [name for name in _ADDED_COSTS if any(name in run.train for _, _, run in all_runs(tasks))]
    has_folds = any("folds" in record.data for _, _, record in all_runs(tasks))
    is_repeated = any("seeds" in (task.folds or {}) for task in tasks)
    folds = ["fold_seed", "fold"] if is_repeated else ["fold"] if has_folds else []
    rows.writerow([*heads, *added, "pretraining", "checkpoint", *folds])
    for task, configuration, record in all_runs(tasks):
        origin = record.origin
        cells = (
            *(task.name, record.name, configuration.label, configuration.mask or "", record.seed),
            *(
                ""
                if task.is_search and split not in task.splits
                else record.scores.get(split, {}).get(name, "")
                for split, name in scores
            ),
            *(record.train.get(name, "") for name in _COSTS),
            *(record.train.get(name, "") for name in added),
            *((origin.run, origin.snapshot) if origin else ("", "")),
            *(record.data.get("folds", {}).get(name.removeprefix("fold_"), "") for name in folds),
        )
        rows.writerow(map(csv_cell, cells))
    return file.getvalue()

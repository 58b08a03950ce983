"""`sltk report --errors` of cross-validation: the test parts of all folds on one page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from labelled_runs import Labelled, write_run
from sltk.cli import main
from sltk.types import Span

FOLDS: list[list[Labelled]] = [
    [("Ada met Bob", [Span(0, 1, "PER")], [Span(0, 1, "PER", 0.9)]), ("nothing here", [], [])],
    [("Zürich lies far", [Span(0, 1, "LOC")], [Span(0, 1, "ORG", 0.8)])],
    [("the Bank of X", [Span(1, 4, "ORG")], [])],
]


def write_folds(
    sweep: Path, mask: str, *, folds: tuple[int, ...] = (1, 2, 3), hits: bool = False
) -> list[Path]:
    """The runs of a sweep over three folds, with one mask; with `hits`, all predictions are right."""
    runs = []
    for fold in folds:
        labelled = [(text, gold, gold if hits else predicted) for text, gold, predicted in FOLDS[fold - 1]]
        spec: dict[str, Any] = {
            "data": {"folds": {"k": 3, "by": "sentence", "seed": 42, "fold": fold}},
            "backbone": {"unmask": mask},
            "name": "cv",
        }
        runs.append(write_run(sweep / "runs" / f"unmask={mask},fold={fold}", labelled, **spec))
    return runs


def data_of(page: Path) -> dict[str, Any]:
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8")
    )
    data: dict[str, Any] = json.loads(text)
    return data


def texts(data: dict[str, Any]) -> list[str]:
    return [" ".join(sentence[0]) for sentence in data["sentences"]]


def test_all_folds_are_one_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of a sweep over folds is one run: each sentence once, in the order of folds, and all counts."""
    monkeypatch.chdir(tmp_path)
    write_folds(tmp_path / "cv", "0000")
    assert main(["report", "--errors", "cv"]) == 0
    data = data_of(tmp_path / "reports" / "cv-errors.html")
    assert texts(data) == ["Ada met Bob", "nothing here", "Zürich lies far", "the Bank of X"]
    assert data["runs"] == ["cv (unmask=0000), 3 folds"]
    printed = capsys.readouterr().out
    assert "cv (unmask=0000), 3 folds: test, 4 sentences" in printed
    assert re.search(r"together +3 +3 +2", printed)


def test_run_directories_in_any_order(tmp_path: Path) -> None:
    """The run directories of all folds give the same page as their folder, whatever their order."""
    runs = write_folds(tmp_path / "cv", "0000")
    assert main(["report", "--errors", str(tmp_path / "cv"), "-o", str(tmp_path / "a.html")]) == 0
    assert main(["report", "--errors", *map(str, reversed(runs)), "-o", str(tmp_path / "b.html")]) == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_two_configurations_are_side_by_side(tmp_path: Path) -> None:
    """A sweep with two configurations shows both on the same sentences; with three, it is an error."""
    write_folds(tmp_path / "cv", "0000")
    write_folds(tmp_path / "cv", "1111", hits=True)
    assert main(["report", "--errors", str(tmp_path / "cv"), "-o", str(tmp_path / "a.html")]) == 0
    data = data_of(tmp_path / "a.html")
    assert data["runs"] == ["cv (unmask=0000), 3 folds", "cv (unmask=1111), 3 folds"]
    assert len(data["sentences"]) == 4
    assert [sum(row[0] for row in rows) for rows in data["counts"]] == [3, 3]


def test_one_fold_alone_is_an_ordinary_run(tmp_path: Path) -> None:
    """One run directory shows its own test part, and so do the same fold of two configurations."""
    one = write_folds(tmp_path / "cv", "0000")[1]
    other = write_folds(tmp_path / "cv", "1111")[1]
    assert main(["report", "--errors", str(one), str(other), "-o", str(tmp_path / "a.html")]) == 0
    assert texts(data_of(tmp_path / "a.html")) == ["Zürich lies far"]


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing and repeated folds, too many configurations, and validation data of folds are errors."""
    first, second = write_folds(tmp_path / "few", "0000", folds=(1, 2))
    assert main(["report", "--errors", str(tmp_path / "few")]) == 2
    assert "fold 3 of 3 is missing: errors need all folds" in capsys.readouterr().err
    assert main(["report", "--errors", str(first), str(second)]) == 2
    assert "fold 3 of 3 is missing" in capsys.readouterr().err
    runs = write_folds(tmp_path / "cv", "0000")
    assert main(["report", "--errors", *map(str, runs), str(first)]) == 2
    assert "fold 1 is given twice" in capsys.readouterr().err
    (runs[2] / "metrics.json").unlink()
    assert main(["report", "--errors", str(tmp_path / "cv")]) == 2
    assert "fold 3 of 3 is missing" in capsys.readouterr().err
    for mask in ("a", "b", "c"):
        write_folds(tmp_path / "many", mask)
    assert main(["report", "--errors", str(tmp_path / "many")]) == 2
    message = capsys.readouterr().err
    assert "shows one run, or two side by side, not 3" in message
    assert "give the run directories of one or two configurations" in message
    write_folds(tmp_path / "whole", "0000")
    assert main(["report", "--errors", str(tmp_path / "whole"), "--split", "validation"]) == 2
    assert "several folds can be shown on their test parts only" in capsys.readouterr().err

"""A report replaces an older report, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

import sltk
import study_records
from sltk.reports.assembly import write_report
from sltk.reports.run_records import write_records


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A file of records."""
    path = tmp_path / "study.jsonl"
    write_records(path, study_records.study())
    return path


@pytest.mark.parametrize(
    "name", ["figures/mine.png", "report.md", "results.csv", "paper.tex", "figures/types.png"]
)
def test_files_of_others_are_kept(records: Path, tmp_path: Path, name: str) -> None:
    """Also in a folder whose files have the names of those of a report, but which holds none."""
    file = tmp_path / "paper" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(sltk.UsageError, match=r"not part of a report \((figures|report|results|paper)"):
        write_report([records], tmp_path / "paper")
    assert [path for path in (tmp_path / "paper").rglob("*") if path.is_file()] == [file]
    assert file.read_text() == "mine"


def test_an_older_report_is_replaced_unless_others_added_to_it(records: Path, tmp_path: Path) -> None:
    """Figures of others in it are kept by an error."""
    folder = tmp_path / "report"
    write_report([records], folder)
    written = {path.relative_to(folder) for path in folder.rglob("*")}
    (folder / "report.md").write_text("old")
    write_report([records], folder)
    assert (folder / "report.md").read_text() != "old"
    assert {path.relative_to(folder) for path in folder.rglob("*")} == written
    (folder / "figures/mine.png").write_text("mine")
    with pytest.raises(sltk.UsageError, match=r"not part of a report \(figures/mine.png\)"):
        write_report([records], folder)
    assert (folder / "figures/mine.png").read_text() == "mine"

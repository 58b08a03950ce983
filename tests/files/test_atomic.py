"""Atomic writing: links are followed to their targets, and planted files and links are never opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sltk.files import atomic


def write_folder(path: Path) -> None:
    with atomic.new_folder(path) as folder:
        (folder / "a.txt").write_text("new")


WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: atomic.write_text(path, "new"),
    "bytes": lambda path: atomic.write_bytes(path, b"new"),
    "json": lambda path: atomic.write_json(path, "new"),
    "folder": write_folder,
}


def content(path: Path) -> str:
    return (path / "a.txt" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_followed_to_its_target(tmp_path: Path, kind: str, exists: bool) -> None:
    """Twice in a row, the target is replaced or created, and the link stays a link."""
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    if exists:
        target.mkdir(parents=True) if kind == "folder" else (target.parent.mkdir(), target.write_text("old"))
    link.symlink_to(target)
    for _ in range(2):
        WRITERS[kind](link)
        assert link.is_symlink()
        assert "new" in content(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "link"]
    assert [path.name for path in target.parent.iterdir()] == ["target"]


@pytest.mark.parametrize("kind", WRITERS)
def test_temporary_names_cannot_be_predicted(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each name is new, recognized as partial, and does not depend on the process alone."""
    names: set[str] = set()
    replace, rename = Path.replace, Path.rename
    monkeypatch.setattr(Path, "replace", lambda self, to: (names.add(self.name), replace(self, to))[1])
    monkeypatch.setattr(
        Path, "rename", lambda self, to: (names.update((self.name, Path(to).name)), rename(self, to))[1]
    )
    for _ in range(3):
        WRITERS[kind](tmp_path / "out")
    temporary = names - {"out"}
    assert len(temporary) >= 3
    assert all(map(atomic.is_partial, temporary))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_planted_link_is_not_written_through(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a link at the very name that is drawn is refused, and its target stays as it was."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda size: "0" * 2 * size)
    for word in ("partial", "old"):
        (tmp_path / f".out.{word}-{'0' * 16}").symlink_to(victim)
    with pytest.raises(FileExistsError):
        WRITERS[kind](tmp_path / "out")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "out").exists()


def test_a_link_is_not_appended_to(tmp_path: Path) -> None:
    """A log that is a link is refused, so that the file it names keeps its content."""
    victim, link = tmp_path / "victim", tmp_path / "log"
    victim.write_text("precious")
    link.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        atomic.append(link)
    assert victim.read_text() == "precious"
    with open(atomic.append(tmp_path / "new"), "a") as file:
        file.write("line")
    assert (tmp_path / "new").read_text() == "line"


def test_a_failure_leaves_the_target_of_a_link_unchanged(tmp_path: Path) -> None:
    """An exception while writing changes nothing, and leaves no temporary file."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with pytest.raises(UnicodeEncodeError):
        atomic.write_text(link, "half \ud800")
    assert target.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".a.partial-123", True), (".a.partial-0af3", True), (".corpus.partial-next", True), (".a.old", True),
        (".a.old-0af3", True), (".hidden", False), ("a.partial-1", False), (".old.txt", False), (".bold", False),
    ],
)  # fmt: skip
def test_leftovers_are_recognized(name: str, expected: bool) -> None:
    """The names of this and of earlier versions are, other hidden files are not."""
    assert atomic.is_partial(name) is expected


def test_the_umask_decides_who_can_read_the_files_of_a_folder(tmp_path: Path) -> None:
    """As safetensors writes them, only the owner can read weights: not a server that runs as another user."""
    with atomic.new_folder(tmp_path / "model") as partial:
        (partial / "base").mkdir()
        save_file({"a": torch.zeros(1)}, str(partial / "base" / "model.safetensors"))
        (partial / "config.json").write_text("{}")
        expected = (partial / "config.json").stat().st_mode
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "model").rglob("*.*")}
    assert modes == {"model.safetensors": expected, "config.json": expected}

"""`sltk check` of a pretrain spec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Problem
from .frame import tell, warn, write

if TYPE_CHECKING:
    from ..config import Loaded
    from ..pretraining.spec import PretrainSpec


def check_pretraining(
    spec: Path, overrides: Sequence[str], *, data: bool, as_json: Callable[[Problem], dict[str, Any]]
) -> tuple[dict[str, Any], list[Problem]]:
    """What `check --json` says of a pretrain spec, and the warnings.

    Raises:
        InputError: the spec is wrong; or with `data` its text is missing or malformed.
    """
    from .. import config
    from ..estimate import check_model
    from ..pretraining.summary import expected_of, missing_files

    loaded = _loaded(spec, overrides)
    for path in loaded.imported:
        tell(f"imported {path}")
    check_model(loaded)  # type: ignore[arg-type]  # looks at the backbone alone
    warnings = missing_files(loaded)
    if data and warnings:
        raise config.InvalidSpecError(warnings)
    expected = expected_of(loaded.experiment)
    report = {
        "spec": str(spec),
        "sound": True,
        "warnings": [as_json(problem) for problem in warnings],
        "resolved": loaded.experiment.model_dump(mode="json", serialize_as_any=True),
        "estimate": expected.as_json() if expected is not None else None,
    }
    return report | ({"data": _counts(loaded.experiment)} if data else {}), warnings


def show_pretraining(
    spec: Path, overrides: Sequence[str], report: dict[str, Any], warnings: Sequence[Problem]
) -> None:
    """The spec in a few lines, and the warnings."""
    from ..pretraining.summary import summary_lines

    for line in summary_lines(_loaded(spec, overrides).experiment):
        write(line)
    for name, counts in report.get("data", {}).items():
        write(f"{name}: {counts['sentences']:,} sentences, {counts['words']:,} words")
    for problem in warnings:
        tell("")
        warn(problem)
    count = len(warnings)
    with_warnings = f", with {count} warning{'s' if count > 1 else ''}" if count else ""
    write(f"\nThe spec is sound{with_warnings}.")


def _loaded(spec: Path, overrides: Sequence[str]) -> Loaded[PretrainSpec]:
    from .. import config
    from ..pretraining.spec import PretrainSpec

    return config.load_as(PretrainSpec, spec, overrides)


def _counts(spec: PretrainSpec) -> dict[str, dict[str, int]]:
    """Sentences and words of the text, read once and not held."""
    from ..pretraining.text import sources

    counts = {}
    for name, sentences in sources(spec).items():
        lengths = [len(sentence) for sentence in sentences()]
        counts[name] = {"sentences": len(lengths), "words": sum(lengths)}
    return counts

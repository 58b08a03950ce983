"""`sltk check` of a pretrain spec."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Problem
from .frame import write
from .spec_kinds import Audited, SpecKind

if TYPE_CHECKING:
    from ..config import Loaded
    from ..pretraining.spec import PretrainSpec


class PretrainKind(SpecKind["Loaded[PretrainSpec]"]):
    """One pre-training run."""

    def load(self, spec: Path, overrides: Sequence[str]) -> Loaded[PretrainSpec]:
        """Read and validate it."""
        from .. import config
        from ..pretraining.spec import PretrainSpec

        return config.load_as(PretrainSpec, spec, overrides)

    def imported(self, loaded: Loaded[PretrainSpec]) -> Iterable[Path]:
        """The files of `imports:` that were run."""
        return loaded.imported

    def check(self, loaded: Loaded[PretrainSpec]) -> None:
        """Mask and LoRA targets fit the model, as far as it is known."""
        from ..estimates.estimate import check_model

        check_model(loaded)  # type: ignore[arg-type]  # looks at the backbone alone

    def missing_files(self, loaded: Loaded[PretrainSpec]) -> list[Problem]:
        """A problem for each file that is not there."""
        from ..data import missing_files
        from ..pretraining.summary import readers

        return missing_files(loaded, readers(loaded.experiment))

    def audit(self, loaded: Loaded[PretrainSpec]) -> Audited:
        """Sentences and words of the text, read once and not held."""
        from ..pretraining.text import sources

        counts = {}
        for name, sentences in sources(loaded.experiment).items():
            lengths = [len(sentence) for sentence in sentences()]
            counts[name] = {"sentences": len(lengths), "words": sum(lengths)}

        def show() -> None:
            for name, each in counts.items():
                write(f"{name}: {each['sentences']:,} sentences, {each['words']:,} words")

        return Audited(report={"data": counts}, show=show)

    def report(self, loaded: Loaded[PretrainSpec]) -> dict[str, Any]:
        """The resolved spec, and what the run would take."""
        from ..pretraining.summary import expected_of

        expected = expected_of(loaded.experiment)
        return {
            "resolved": loaded.experiment.model_dump(mode="json", serialize_as_any=True),
            "estimate": expected.as_json() if expected is not None else None,
        }

    def show(self, loaded: Loaded[PretrainSpec]) -> None:
        """The same in words."""
        from ..pretraining.summary import summary_lines

        for line in summary_lines(loaded.experiment):
            write(line)

"""The model card of a run directory or an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..decoding.stored_thresholds import read_thresholds
from ..errors import Problem, UsageError
from ..files import atomic
from ..files.manifest import CARD
from ..models.description import is_model, read_description
from .card_facts import CardFacts
from .card_metadata import check_language, check_license, front_matter, is_hub_name, metadata
from .card_text import card_text
from .card_usage import Form, Usage, form_of, usage_text
from .run_facts import NAME as FACTS
from .run_facts import read_facts, run_of

_NOWHERE = "path/to/this/folder"


@dataclass(frozen=True)
class CardSettings:
    """What a card says that no run knows.

    Raises:
        UsageError: a value does not have the form that the hub expects.
    """

    license: str | None = None
    """A licence as the hub names it: apache-2.0."""
    language: str | None = None
    """ISO 639 code of the language."""
    base_model: str | None = None
    """Name on the hub of the base model, if the run knows only its folder."""
    repository: str | None = None
    """Name on the hub of the model itself."""

    def __post_init__(self) -> None:
        if self.license is not None:
            check_license(self.license)
        if self.language is not None:
            check_language(self.language)
        if self.base_model is not None and not is_hub_name(self.base_model):
            note = "expected a name such as HuggingFaceTB/SmolLM2-135M"
            raise UsageError(
                Problem(f"`{self.base_model}` is not the name of a model on the hub", notes=(note,))
            )


def render_card(source: str | Path, settings: CardSettings | None = None) -> str:
    """The card of a run directory or an export, as Markdown with metadata; equal input gives equal text.

    Raises:
        UsageError: `source` is neither, or its run is not finished.
        DataError: a file of the run is damaged.
    """
    folder = Path(source)
    folder = run_of(folder) or folder
    facts = read_facts(folder)
    is_run = not is_model(folder)
    return _render(facts, folder / "model" if is_run else folder, settings or CardSettings(), is_run=is_run)


def write_card(folder: Path, source: str | Path) -> None:
    """Write README.md and, for later, card.json into an export that is being written.

    Call it before the manifest is written; the manifest leaves out README.md, which may be edited.

    Args:
        folder: the export, complete except for its manifest.
        source: the run directory or the model that was exported.

    Raises:
        DataError: a file of the run is damaged.
    """
    facts = read_facts(Path(source))
    if facts is not None:
        atomic.write_json(folder / FACTS, facts.model_dump(mode="json", exclude_none=True))
    atomic.write_text(folder / CARD, _render(facts, folder, CardSettings(), is_run=False))


def _render(facts: CardFacts | None, model: Path, settings: CardSettings, *, is_run: bool) -> str:
    """The card of the model in the folder `model`, which is that of a run or an export."""
    description, thresholds = read_description(model), read_thresholds(model)
    form = form_of(description, is_run=is_run)
    usage = Usage(
        usage_text(description, form, settings.repository or _NOWHERE),
        settings.license,
        None if thresholds is None else thresholds.summary(),
    )
    is_instruct = description.get("type", "tagger") == "instruct"
    values = metadata(
        facts or CardFacts(name=""),
        library="transformers" if form == "transformers" else "sltk",
        task="text-generation" if is_instruct else "token-classification",
        tags=_tags(description, form),
        base=_base_model(facts, settings),
        relation="adapter" if form == "run" and facts and facts.adaptation == "adapter" else "finetune",
        license=settings.license,
        language=settings.language,
    )
    return f"{front_matter(values)}\n{card_text(facts, description, usage)}"


def _base_model(facts: CardFacts | None, settings: CardSettings) -> str | None:
    base = facts.base if facts else None
    is_named = base is not None and base.is_on_hub and is_hub_name(base.name)
    return settings.base_model or (base.name if base is not None and is_named else None)


def _tags(description: Mapping[str, Any], form: Form) -> list[str]:
    spans = [] if description["scheme"] == "plain" else ["sequence-labelling"]
    return [*spans, *(["onnx"] if form == "onnx" else [])]

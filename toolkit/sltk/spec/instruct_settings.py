"""What a spec says under `instruct:`: prompt, options, loss, decoding, and how responses are read."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ..components.registry import RefusedError
from ..errors import nearest
from ..yamltree.scalars import plain

OPTION, SPAN = ":", ";"
"""What stands before an option, and between spans, in a response."""

TEMPLATE = (
    "### Instruction:\n{instruction}\n\n### Options:\n{options}\n\n"
    "{examples}### Sentence:\n{sentence}\n\n### Response:\n"
)
EXAMPLE = "### Sentence:\n{sentence}\n\n### Response:\n{response}\n\n"
PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class Sampling(_Part):
    """Responses are drawn, and not the most probable ones; the seed is that of the spec."""

    temperature: float = Field(default=0.6, gt=0, description="below 1: likely subwords become likelier")
    top_p: float = Field(
        default=0.9, gt=0, le=1, description="draw among the likeliest subwords that have this probability"
    )


class InstructSpec(_Part):
    """How a language model is asked for the spans of a sentence, and how its response is read."""

    instruction: str = Field(min_length=1, description="what the model is asked to do")
    options: Annotated[dict[str, str], BeforeValidator(plain)] = Field(
        min_length=1, description="a phrase for each type of span, as in `PER: person`"
    )
    template: str = Field(
        default=TEMPLATE,
        description="the prompt, with {instruction}, {options}, {examples} and, once, {sentence}",
    )
    example: str = Field(
        default=EXAMPLE, description="one of {examples}, with {sentence} and {response}, once each"
    )
    shots: int = Field(
        default=0, ge=0, description="training sentences shown with their response in every prompt, by seed"
    )
    loss: Literal["response", "all"] = Field(
        default="response", description="what is learned: the response alone, or the prompt too (the authors)"
    )
    max_response: int = Field(
        default=256, ge=2, description="most subwords of a response; a longer one is cut, and counted"
    )
    sampling: Sampling | None = Field(
        default=None, description="draw responses (the authors); null: the most probable subword each time"
    )
    constrained: bool = Field(
        default=False,
        description="let only word sequences of the sentence, separators and options be generated",
    )
    parsing: Literal["tolerant", "paper"] = Field(
        default="tolerant",
        description="a malformed piece costs only itself, or (paper) all spans of the sentence",
    )

    def prompt(self, sentence: str, examples: str = "") -> str:
        """The prompt for a sentence, with examples already written out."""
        return filled(
            self.template,
            {
                "instruction": self.instruction,
                "options": ", ".join(self.options.values()),
                "examples": examples,
                "sentence": sentence,
            },
        )

    @field_validator("options")
    @classmethod
    def _phrases_can_be_read_back(cls, options: dict[str, str]) -> dict[str, str]:
        owner: dict[str, str] = {}
        for type_, phrase in options.items():
            if bad := [sign for sign in (OPTION, SPAN) if sign in phrase]:
                about = (
                    f"the option `{phrase}` holds `{bad[0]}`, which has a meaning of its own in a response"
                )
                raise RefusedError(about, type_)
            if not phrase or phrase.split() != phrase.split(" "):
                about = f"the option `{phrase}` is not a phrase: words, and single spaces between them"
                raise RefusedError(about, type_)
            if phrase in owner:
                about = f"`{type_}` and `{owner[phrase]}` have one option, `{phrase}`: they could not be told apart"
                raise RefusedError(about, type_)
            owner[phrase] = type_
        return options

    @field_validator("template")
    @classmethod
    def _template_has_its_places(cls, template: str) -> str:
        _check_places(template, {"instruction", "options", "examples", "sentence"}, ("sentence",))
        return template

    @field_validator("example")
    @classmethod
    def _example_has_its_places(cls, example: str) -> str:
        _check_places(example, {"sentence", "response"}, ("sentence", "response"))
        return example

    @model_validator(mode="after")
    def _examples_have_a_place(self) -> InstructSpec:
        if self.shots and "{examples}" not in self.template:
            raise RefusedError("`shots` are to be shown, but the template has no {examples}", "template")
        return self


def _check_places(text: str, known: set[str], needed: tuple[str, ...]) -> None:
    """Refuse a template with a place that nothing fills, or without one that it needs."""
    found = PLACEHOLDER.findall(text)
    for name in found:
        if name not in known:
            shown = ", ".join(f"{{{each}}}" for each in sorted(known))
            raise RefusedError(
                f"nothing is known to fill {{{name}}}",
                suggestion=nearest(name, known),
                notes=[f"places: {shown}"],
            )
    for name in needed:
        if found.count(name) != 1:
            raise RefusedError(f"expected {{{name}}} once, found it {found.count(name)} times")


def filled(template: str, values: dict[str, str]) -> str:
    """The template with each place filled; braces in the values mean nothing."""
    return PLACEHOLDER.sub(lambda place: values[place[1]], template)

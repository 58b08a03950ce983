"""The keys under `instruct:`: prompt, options, loss, decoding and parsing of responses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ..components.registry import RefusedError
from ..components.strict import StrictModel
from ..errors import nearest
from ..yamltree.scalars import plain

OPTION, SPAN = ":", ";"
"""Separators in a response: before an option, and between spans."""

TEMPLATE = (
    "### Instruction:\n{instruction}\n\n### Options:\n{options}\n\n"
    "{examples}### Sentence:\n{sentence}\n\n### Response:\n"
)
EXAMPLE = "### Sentence:\n{sentence}\n\n### Response:\n{response}\n\n"
PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_PLACEHOLDERS = {
    "template": ({"instruction", "options", "examples", "sentence"}, ["sentence"]),
    "example": ({"sentence", "response"}, ["sentence", "response"]),
}
"""The known and the required placeholders of each template."""


class Sampling(StrictModel):
    """Draw responses at random instead of taking the most probable ones; the seed is that of the spec."""

    temperature: float = Field(default=0.6, gt=0, description="below 1, likely subwords become more likely")
    top_p: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="draw from the most likely subwords that together have this probability",
    )


class InstructSpec(StrictModel):
    """Settings for prompting a language model for the spans of a sentence and parsing its response."""

    instruction: str = Field(min_length=1, description="the task, as the first part of the prompt")
    options: Annotated[dict[str, str], BeforeValidator(plain)] = Field(
        min_length=1, description="a phrase for each type of span: `PER: person`"
    )
    template: str = Field(
        default=TEMPLATE,
        description="the prompt, with {instruction}, {options}, {examples}, and {sentence} exactly once",
    )
    example: str = Field(
        default=EXAMPLE, description="one of the {examples}, with {sentence} and {response} exactly once"
    )
    shots: int = Field(
        default=0,
        ge=0,
        description="number of training sentences to show with their responses in every prompt, chosen by `seed`",
    )
    draw: Literal["once", "per_sentence"] = Field(
        default="once",
        description="the examples of training prompts: the same in all of them (`once`), or drawn for each sentence "
        "(`per_sentence`); prompts of prediction always show the same ones",
    )
    loss: Literal["response", "responses", "all"] = Field(
        default="response",
        description="train on the response only (`response`), also on the responses of the examples in the prompt "
        "(`responses`), or on the whole text (`all`, as in the paper's code)",
    )
    max_response: int = Field(
        default=256,
        ge=2,
        description="maximum number of subwords per response; longer responses are truncated and counted",
    )
    sampling: Sampling | None = Field(
        default=None,
        description="draw responses at random (as in the paper's code); null for greedy decoding",
    )
    constrained: bool = Field(
        default=False,
        description="generate only word sequences of the sentence, separators and options",
    )
    parsing: Literal["tolerant", "paper"] = Field(
        default="tolerant",
        description="drop only a malformed piece (`tolerant`), or all spans of its sentence (`paper`)",
    )

    def prompt_values(self, sentence: str, examples: str = "") -> dict[str, str]:
        """The values of the placeholders of `template`; `examples` is the text of the filled-in examples."""
        return {
            "instruction": self.instruction,
            "options": ", ".join(self.options.values()),
            "examples": examples,
            "sentence": sentence,
        }

    @field_validator("options")
    @classmethod
    def _check_phrases(cls, options: dict[str, str]) -> dict[str, str]:
        owner: dict[str, str] = {}
        for type_, phrase in options.items():
            if bad := [sign for sign in (OPTION, SPAN) if sign in phrase]:
                raise RefusedError(
                    f"the option `{phrase}` contains `{bad[0]}`, a separator in responses", type_
                )
            if not phrase or phrase.split() != phrase.split(" "):
                about = f"the option `{phrase}` is not a phrase: expected words separated by single spaces"
                raise RefusedError(about, type_)
            if phrase in owner:
                about = f"`{type_}` and `{owner[phrase]}` have the same option, `{phrase}`"
                raise RefusedError(about, type_)
            owner[phrase] = type_
        return options

    @field_validator("template", "example")
    @classmethod
    def _check_placeholders(cls, text: str, info: ValidationInfo) -> str:
        """Refuse an unknown placeholder, and a required one that does not occur exactly once."""
        known, required = _PLACEHOLDERS[str(info.field_name)]
        names = PLACEHOLDER.findall(text)
        for name in names:
            if name not in known:
                available = ", ".join(f"{{{each}}}" for each in sorted(known))
                raise RefusedError(
                    f"unknown placeholder {{{name}}}",
                    suggestion=nearest(name, known),
                    notes=[f"placeholders: {available}"],
                )
        for name in required:
            if (count := names.count(name)) != 1:
                raise RefusedError(f"expected {{{name}}} once, found it {count} times")
        return text

    @model_validator(mode="after")
    def _check_shots(self) -> InstructSpec:
        if self.shots and "{examples}" not in self.template:
            raise RefusedError("`shots` is set, but the template has no {examples}", "template")
        for key, value in (("loss", "responses"), ("draw", "per_sentence")):
            if not self.shots and getattr(self, key) == value:
                about = f"`{key}: {value}` is about the examples in the prompt: set `shots` to at least 1"
                raise RefusedError(about, key)
        return self


def fill(template: str, values: dict[str, str]) -> str:
    """Replace the placeholders of a template; braces in the values have no meaning."""
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def places(template: str, values: dict[str, str], name: str) -> Iterator[int]:
    """The characters of the filled-in template at which the values of the placeholder `name` start."""
    added = 0
    for match in PLACEHOLDER.finditer(template):
        if match[1] == name:
            yield match.start() + added
        added += len(values[match[1]]) - len(match[0])

"""Sentences as prompts, and their spans as the responses that are wanted (paper, section 5).

A prompt has blocks: instruction, options, perhaps examples, the sentence. A response is `span text:option`,
joined by `;`, in the order of the sentence; it is empty where there is no span.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...errors import Problem, SpecError, nearest
from ...files.safety import encodable
from ...spec.instruct_settings import OPTION, SPAN, InstructSpec, fill
from ...types import Sentence, Span


@dataclass(frozen=True, slots=True)
class Shot:
    """A sentence with its response, shown to the model in the prompt."""

    sentence: str
    response: str


@dataclass(frozen=True)
class Prompter:
    """Writes prompts and responses as a spec says."""

    spec: InstructSpec
    shots: tuple[Shot, ...] = ()

    def prompt(self, words: Sequence[str]) -> str:
        """What the model is given for a sentence."""
        examples = [
            fill(self.spec.example, {"sentence": shot.sentence, "response": shot.response})
            for shot in self.shots
        ]
        return self.spec.prompt(" ".join(readable(words)), "".join(examples))

    def response(self, words: Sequence[str], spans: Iterable[Span]) -> str:
        """What the model should answer: the spans in their order.

        Raises:
            KeyError: a type has no option; `check_types` says so before.
        """
        return response_text(words, spans, self.spec.options)


def response_text(words: Sequence[str], spans: Iterable[Span], options: dict[str, str]) -> str:
    """`span text:option` of each span, joined by `;`."""
    shown = readable(words)
    pieces = [f"{' '.join(shown[s.start : s.end])}{OPTION}{options[s.type]}" for s in sorted(spans)]
    return SPAN.join(pieces)


def readable(words: Sequence[str]) -> list[str]:
    """The words as a tokenizer takes them: half characters replaced."""
    return [encodable(word) for word in words]


def check_types(types: Iterable[str], options: dict[str, str], name: str) -> None:
    """See that each type of span has an option.

    Raises:
        SpecError: one has none; all such types are named.
    """
    missing = [type_ for type_ in sorted(set(types)) if type_ not in options]
    if missing:
        raise SpecError(
            [
                Problem(
                    f"the type `{type_}` of {name} has no option to ask for it by",
                    path="instruct.options",
                    suggestion=nearest(type_, options),
                    notes=(f"types with an option: {', '.join(options)}",),
                )
                for type_ in missing
            ]
        )


def chosen_shots(sentences: Sequence[Sentence], spec: InstructSpec, seed: int) -> tuple[Shot, ...]:
    """The training sentences that every prompt shows: as many as `shots`, drawn by seed, in drawn order.

    Raises:
        SpecError: there are not so many sentences.
    """
    filled_ones = [sentence for sentence in sentences if sentence.words]
    if spec.shots > len(filled_ones):
        about = f"{spec.shots} examples are to be shown, and train has {len(filled_ones)} sentences"
        raise SpecError(Problem(about, path="instruct.shots"))
    drawn = random.Random(seed).sample(filled_ones, spec.shots)
    return tuple(
        Shot(" ".join(readable(each.words)), response_text(each.words, each.spans or (), spec.options))
        for each in drawn
    )

"""Prompts for sentences, and the correct responses (paper, section 5).

A prompt consists of instruction, options, optional examples, and the sentence. A response is `span text:option` for
each span, joined by `;`, in the order of the sentence; it is empty if there are no spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from ...errors import Problem, SpecError, nearest
from ...files.safety import encodable
from ...spec.instruct_settings import OPTION, SPAN, InstructSpec, fill, places
from ...types import Span


@dataclass(frozen=True, slots=True)
class Shot:
    """A sentence with its response, shown to the model in the prompt."""

    sentence: str
    response: str


@dataclass(frozen=True)
class Prompter:
    """Writes prompts and correct responses as a spec describes them."""

    spec: InstructSpec
    shots: tuple[Shot, ...] = ()

    def prompt(self, words: Sequence[str], shots: Sequence[Shot] | None = None) -> str:
        """The prompt for a sentence, with `shots` as examples instead of those that all prompts show."""
        sentence = " ".join(readable(words))
        return fill(self.spec.template, self.spec.prompt_values(sentence, "".join(self._examples(shots))))

    def shown_responses(
        self, words: Sequence[str], shots: Sequence[Shot] | None = None
    ) -> Iterator[tuple[int, int]]:
        """Where the responses of the examples are in `prompt` with the same arguments, as half-open characters."""
        examples = self._examples(shots)
        values = self.spec.prompt_values(" ".join(readable(words)), "".join(examples))
        for start in places(self.spec.template, values, "examples"):
            for shot, example in zip(self._shots(shots), examples, strict=True):
                for place in places(self.spec.example, asdict(shot), "response"):
                    yield start + place, start + place + len(shot.response)
                start += len(example)

    def _shots(self, shots: Sequence[Shot] | None) -> Sequence[Shot]:
        return self.shots if shots is None else shots

    def _examples(self, shots: Sequence[Shot] | None) -> list[str]:
        return [fill(self.spec.example, asdict(shot)) for shot in self._shots(shots)]

    def response(self, words: Sequence[str], spans: Iterable[Span]) -> str:
        """The correct response: the spans in order.

        Raises:
            KeyError: a type has no option; `check_types` reports this before.
        """
        return response_text(words, spans, self.spec.options)


def response_text(words: Sequence[str], spans: Iterable[Span], options: dict[str, str]) -> str:
    """`span text:option` for each span, joined by `;`."""
    shown = readable(words)
    pieces = [f"{' '.join(shown[s.start : s.end])}{OPTION}{options[s.type]}" for s in sorted(spans)]
    return SPAN.join(pieces)


def readable(words: Sequence[str]) -> list[str]:
    """The words as tokenizers accept them: lone surrogates are replaced."""
    return [encodable(word) for word in words]


def check_types(types: Iterable[str], options: dict[str, str], name: str) -> None:
    """Check that each type of span in the data set `name` has an option.

    Raises:
        SpecError: a type has no option; all such types are reported.
    """
    missing = [type_ for type_ in sorted(set(types)) if type_ not in options]
    if missing:
        raise SpecError(
            [
                Problem(
                    f"the type `{type_}` of {name} has no option in the prompt",
                    path="instruct.options",
                    suggestion=nearest(type_, options),
                    notes=(f"types with an option: {', '.join(options)}",),
                )
                for type_ in missing
            ]
        )

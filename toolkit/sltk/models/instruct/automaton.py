"""The responses that a sentence allows, as an automaton over bytes, for constrained decoding.

    response = ""  |  span (";" span)*          span = words of the sentence ":" option

Spans follow the order of the sentence and do not overlap, so `responses.parse` with its forward cursor reads every
generated span back: if the text of a span occurs more than once, both take its first place from the cursor on. Words
that contain `;` or white space could not be read back, so they belong to no span.

A state is a set of alternatives, since a `:` may be part of a word or end a span.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...spec.instruct_settings import OPTION, SPAN
from .prompt import readable

_OPTION, _SPAN, _SPACE = (sign.encode()[0] for sign in (OPTION, SPAN, " "))


@dataclass(frozen=True, slots=True)
class _Lead:
    """At the start, where a space is allowed: some tokenizers cannot begin without one."""


@dataclass(frozen=True, slots=True)
class _Text:
    """Inside the text of a span, of which `length` bytes are written; they occur at each of `starts`."""

    starts: tuple[int, ...]
    length: int


@dataclass(frozen=True, slots=True)
class _Option:
    """Inside an option, of which `length` bytes are written; the span ends at byte `end` of the sentence."""

    end: int
    names: tuple[bytes, ...]
    length: int


_Alternative = _Lead | _Text | _Option
State = tuple[_Alternative, ...]


class Automaton:
    """The responses that one sentence allows.

    Args:
        words: the words of the sentence.
        options: the options of a span.
        is_spellable: whether a text can be written with the vocabulary; other words belong to no span.
        may_lead: whether a space is allowed before the first span.
    """

    def __init__(
        self,
        words: Sequence[str],
        options: Iterable[str],
        is_spellable: Callable[[bytes], bool] = lambda _: True,
        *,
        may_lead: bool = False,
    ) -> None:
        self._options = tuple(option.encode() for option in options)
        self._shortest = min(map(len, self._options))
        encoded = [word.encode() for word in readable(words)]
        self._text = b" ".join(encoded)
        self._starts: list[int] = []
        """The bytes at which a span may start."""
        self._to_end = [0] * (len(self._text) + 1)
        """The number of bytes from each byte to the end of its word."""
        self._continues = bytearray(len(self._text) + 1)
        """Whether a span may continue with each byte."""
        self._add_words(encoded, [_is_usable(word) and is_spellable(word) for word in encoded])
        first: list[_Alternative] = [_Text(tuple(self._starts), 0)] if self._starts else []
        self.start: State = (*([_Lead()] if may_lead and first else []), *first)

    def _add_words(self, words: Sequence[bytes], usable: Sequence[bool]) -> None:
        start = 0
        for number, word in enumerate(words):
            end = start + len(word)
            if usable[number]:
                self._starts.append(start)
                self._continues[start:end] = b"\1" * len(word)
                self._continues[end] = number + 1 < len(words) and usable[number + 1]  # the space after it
            self._to_end[start : end + 1] = range(len(word), -1, -1)
            start = end + 1

    def is_end(self, state: State) -> bool:
        """Whether the response may end here: it is empty, or its last option is complete."""
        return state == self.start or any(
            isinstance(each, _Option) and any(len(name) == each.length for name in each.names)
            for each in state
        )

    def to_end(self, state: State) -> int:
        """The smallest number of bytes after which the response may end."""
        return 0 if self.is_end(state) else min(map(self._missing, state))

    def _missing(self, alternative: _Alternative) -> int:
        if isinstance(alternative, _Option):
            return min(len(name) for name in alternative.names) - alternative.length
        text = _Text(tuple(self._starts), 0) if isinstance(alternative, _Lead) else alternative
        return min(self._to_end[start + text.length] for start in text.starts) + 1 + self._shortest

    def steps(self, state: State) -> dict[int, State]:
        """The bytes that may come next, and the state after each."""
        steps: defaultdict[int, list[_Alternative]] = defaultdict(list)
        for alternative in state:
            if isinstance(alternative, _Lead):
                steps[_SPACE].append(_Text(tuple(self._starts), 0))
            elif isinstance(alternative, _Text):
                self._step_text(alternative, steps)
            else:
                self._step_option(alternative, steps)
        return {byte: tuple(alternatives) for byte, alternatives in steps.items()}

    def _step_text(self, text: _Text, steps: defaultdict[int, list[_Alternative]]) -> None:
        starts_by_byte: defaultdict[int, list[int]] = defaultdict(list)
        ends = []
        for start in text.starts:
            place = start + text.length
            if self._continues[place]:
                starts_by_byte[self._text[place]].append(start)
            if text.length and self._to_end[place] == 0:
                ends.append(place)
        for byte, starts in starts_by_byte.items():
            steps[byte].append(_Text(tuple(starts), text.length + 1))
        if ends:
            steps[_OPTION].append(_Option(ends[0], self._options, 0))

    def _step_option(self, option: _Option, steps: defaultdict[int, list[_Alternative]]) -> None:
        names_by_byte: defaultdict[int, list[bytes]] = defaultdict(list)
        for name in option.names:
            if len(name) > option.length:
                names_by_byte[name[option.length]].append(name)
            elif later := tuple(start for start in self._starts if start >= option.end):
                steps[_SPAN].append(_Text(later, 0))
        for byte, names in names_by_byte.items():
            steps[byte].append(_Option(option.end, tuple(names), option.length + 1))


def _is_usable(word: bytes) -> bool:
    text = word.decode()
    return text.split() == [text] and SPAN not in text

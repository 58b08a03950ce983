"""The responses that a sentence allows, byte by byte: for decoding that cannot go wrong.

    response = ""  |  span (";" span)*          span = words of the sentence ":" option

Spans stand in the order of the sentence and do not overlap, so that what is generated is read back whole by the
forward cursor of `responses.parse`: where the text of a span occurs more than once, the first place from the
cursor on counts, here as there. Words that hold `;` or white space could not be read back and take part in no span.

A state is a set of alternatives, since a `:` may belong to a word or end one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...spec.instruct_settings import OPTION, SPAN
from .prompt import readable

_OPTION, _SPAN, _SPACE = (sign.encode()[0] for sign in (OPTION, SPAN, " "))


@dataclass(frozen=True, slots=True)
class _Lead:
    """Nothing is written yet, and a space may be: some tokenizers cannot begin without one."""


@dataclass(frozen=True, slots=True)
class _Text:
    """Inside the text of a span: `length` bytes are written, which stand at each of `starts` in the sentence."""

    starts: tuple[int, ...]
    length: int


@dataclass(frozen=True, slots=True)
class _Option:
    """Inside an option: `length` bytes are written; the span ends at byte `end` of the sentence."""

    end: int
    names: tuple[bytes, ...]
    length: int


_Alternative = _Lead | _Text | _Option
State = tuple[_Alternative, ...]


class Automaton:
    """The responses that one sentence allows.

    Args:
        words: its words.
        options: what a span may be.
        is_spellable: whether a text can be written with the vocabulary; words that cannot take part in no span.
        may_lead: whether a space may stand before the first span.
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
        shown = [word.encode() for word in readable(words)]
        self._text = b" ".join(shown)
        self._starts: list[int] = []
        """Where a span may begin."""
        self._to_end = [0] * (len(self._text) + 1)
        """Bytes from each place to the end of its word."""
        self._open = bytearray(len(self._text) + 1)
        """Whether a span may go on with the byte at a place."""
        self._lay_out(shown, [_is_usable(word) and is_spellable(word) for word in shown])
        first: list[_Alternative] = [_Text(tuple(self._starts), 0)] if self._starts else []
        self.start: State = (*([_Lead()] if may_lead and first else []), *first)

    def _lay_out(self, words: Sequence[bytes], usable: Sequence[bool]) -> None:
        place = 0
        for number, word in enumerate(words):
            end = place + len(word)
            if usable[number]:
                self._starts.append(place)
                self._open[place:end] = b"\1" * len(word)
                self._open[end] = number + 1 < len(words) and usable[number + 1]  # the space after it
            for at in range(place, end + 1):
                self._to_end[at] = end - at
            place = end + 1

    def is_end(self, state: State) -> bool:
        """Whether the response may end here: nothing is written yet, or an option is whole."""
        return state == self.start or any(
            isinstance(each, _Option) and any(len(name) == each.length for name in each.names)
            for each in state
        )

    def to_end(self, state: State) -> int:
        """Fewest bytes that are missing until the response may end."""
        return 0 if self.is_end(state) else min(map(self._missing, state))

    def _missing(self, at: _Alternative) -> int:
        if isinstance(at, _Option):
            return min(len(name) for name in at.names) - at.length
        starts = at.starts if isinstance(at, _Text) else tuple(self._starts)
        length = at.length if isinstance(at, _Text) else 0
        return min(self._to_end[start + length] for start in starts) + 1 + self._shortest

    def steps(self, state: State) -> dict[int, State]:
        """The bytes that may come next, and the state after each."""
        found: dict[int, list[_Alternative]] = {}
        for each in state:
            if isinstance(each, _Lead):
                found.setdefault(_SPACE, []).append(_Text(tuple(self._starts), 0))
            elif isinstance(each, _Text):
                self._step_text(each, found)
            else:
                self._step_option(each, found)
        return {byte: tuple(alternatives) for byte, alternatives in found.items()}

    def _step_text(self, at: _Text, found: dict[int, list[_Alternative]]) -> None:
        going_on: dict[int, list[int]] = {}
        ends = []
        for start in at.starts:
            place = start + at.length
            if self._open[place]:
                going_on.setdefault(self._text[place], []).append(start)
            if at.length and self._to_end[place] == 0:
                ends.append(place)
        for byte, starts in going_on.items():
            found.setdefault(byte, []).append(_Text(tuple(starts), at.length + 1))
        if ends:
            found.setdefault(_OPTION, []).append(_Option(ends[0], self._options, 0))

    def _step_option(self, at: _Option, found: dict[int, list[_Alternative]]) -> None:
        going_on: dict[int, list[bytes]] = {}
        for name in at.names:
            if len(name) > at.length:
                going_on.setdefault(name[at.length], []).append(name)
            else:
                later = tuple(start for start in self._starts if start >= at.end)
                if later:
                    found.setdefault(_SPAN, []).append(_Text(later, 0))
        for byte, names in going_on.items():
            found.setdefault(byte, []).append(_Option(at.end, tuple(names), at.length + 1))


def _is_usable(word: bytes) -> bool:
    text = word.decode()
    return text.split() == [text] and SPAN not in text

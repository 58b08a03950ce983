"""Comparisons of named runs as text: `A:B` is A minus B, and `A:B::C:D` is (A minus B) minus (C minus D)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ..errors import Problem, nearest

FORMS = "`A:B` for A minus B, or `A:B::C:D` for (A minus B) minus (C minus D)"


class ComparisonError(ValueError):
    """A comparison is malformed, or names an unknown arm."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def parse(text: str, names: Collection[str]) -> tuple[str, ...]:
    """The two or four names in a comparison. Names may contain colons, as the mask `first:8` does.

    Raises:
        ComparisonError: the text has neither form, a name is unknown, or both sides are the same.
    """
    pairs = [list(_splits(part, ":")) for part in text.split("::")]
    if len(pairs) > 2 or not all(pairs):
        raise ComparisonError(Problem(f"`{text}` is not a comparison: expected {FORMS}"))
    chosen = [_known(splits, names, text) for splits in pairs]
    if len(chosen) == 2 and chosen[0] == chosen[1]:
        raise ComparisonError(Problem(f"`{text}` compares a difference with itself"))
    return tuple(name for pair in chosen for name in pair)


def problems(texts: Sequence[str], names: Collection[str]) -> Iterator[tuple[int, Problem]]:
    """What is wrong with comparisons that are tested together, by position.

    A repeated comparison is no problem: `distinct` leaves it out. But the same difference in another form, as `B:A`
    beside `A:B`, would count twice in Holm's correction.
    """
    first: dict[object, tuple[str, tuple[str, ...]]] = {}
    for number, text in enumerate(texts):
        try:
            sides = parse(text, names)
        except ComparisonError as error:
            yield number, error.problem
            continue
        other, its_sides = first.setdefault(_difference(sides), (text, sides))
        if sides != its_sides:
            note = "leave out one of them: Holm's correction would count it twice"
            yield number, Problem(f"`{text}` is the same comparison as `{other}`", notes=(note,))


def distinct(texts: Sequence[str], names: Collection[str]) -> tuple[str, ...]:
    """The comparisons, with only the first of those that test the same difference; those that do not parse stay."""
    kept: dict[object, str] = {}
    for text in texts:
        try:
            kept.setdefault(_difference(parse(text, names)), text)
        except ComparisonError:
            kept.setdefault(text, text)
    return tuple(kept.values())


def _difference(sides: tuple[str, ...]) -> object:
    """What a comparison tests two-sided: the names that are added and those that are subtracted, in either role."""
    plus, minus = (sides[0], *sides[3:]), sides[1:3]
    return frozenset((tuple(sorted(plus)), tuple(sorted(minus))))


def _splits(text: str, separator: str) -> Iterator[tuple[str, str]]:
    """The text split at each separator that has a name on both sides."""
    parts = text.split(separator)
    for place in range(1, len(parts)):
        left, right = (separator.join(side).strip() for side in (parts[:place], parts[place:]))
        if left and right:
            yield left, right


def _known(splits: list[tuple[str, str]], names: Collection[str], text: str) -> tuple[str, str]:
    """The split whose two names are known."""
    for left, right in splits:
        if left in names and right in names:
            if left == right:
                raise ComparisonError(Problem(f"`{text}` compares `{left}` with itself"))
            return left, right
    unknown = next(name for name in splits[0] if name not in names)
    note = f"names: {', '.join(names)}" if names else "no run has a name"
    suggestion = nearest(unknown, names)
    message = f"`{text}`: there is no `{unknown}`"
    raise ComparisonError(Problem(message, suggestion=suggestion, notes=(note,)))

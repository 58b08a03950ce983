"""The label set of a model: its tags, numbered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from .. import schemes
from .label_text import clean
from .names import SchemeName
from .rules import parse_tag


@dataclass(frozen=True)
class LabelSet:
    """All tags of a model in a fixed order, and their scheme."""

    tags: tuple[str, ...]
    scheme: SchemeName

    @classmethod
    def of_types(cls, types: Iterable[str], scheme: SchemeName) -> LabelSet:
        """All tags that spans of these types can have: `O` first, then type by type."""
        return cls(tuple(schemes.tags_of(sorted(set(types)), scheme)), scheme)

    @classmethod
    def plain(cls, tags: Iterable[str]) -> LabelSet:
        """Plain tags, one per word, as in part-of-speech tagging."""
        return cls(tuple(sorted(set(tags))), "plain")

    @classmethod
    def stored(cls, tags: Sequence[str], scheme: SchemeName) -> LabelSet:
        """The tags of a stored model in their order, as clean as those of data, unless this makes two of them equal."""
        cleaned = tuple(map(clean, tags))
        is_usable = len(set(cleaned)) == len(tags) and all(cleaned)
        return cls(cleaned if is_usable else tuple(tags), scheme)

    @cached_property
    def index(self) -> dict[str, int]:
        """The number of each tag."""
        return {tag: number for number, tag in enumerate(self.tags)}

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The types of spans, in the order of the tags; none for plain tags."""
        if self.scheme == "plain":
            return ()
        roles = (parse_tag(tag, self.scheme) for tag in self.tags)
        return tuple(dict.fromkeys(role[1] for role in roles if role and role[1]))

    def __len__(self) -> int:
        return len(self.tags)

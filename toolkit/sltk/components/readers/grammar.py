"""Sentences like those of restaurant reviews, generated: what the quickstart learns.

Aspect terms have a polarity that an opinion word decides. In most clauses that word stands to the RIGHT of
its term ("the soup , as my uncle said , was awful"), so that a model which sees only the left cannot know the
polarity at the term; in some it stands to the LEFT ("an awful soup came first"). Polarities are drawn evenly
and independently, so nothing else in the sentence gives them away.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ...types import Sentence
from ..registry import register
from ..slots import Reader

Part = Literal["train", "validation", "test"]

_TERMS = (
    "risotto", "soup", "espresso", "bread", "salad", "terrace", "waitress", "dessert", "kitchen", "menu",
    "music", "curry", "omelette", "service", "wine list", "goat cheese", "lamb stew", "fish of the day",
    "lunch menu", "house wine", "corner table", "lemon tart", "rice pudding", "smoked trout",
)  # fmt: skip
_OPINIONS = {
    "positive": (
        "wonderful",
        "superb",
        "delightful",
        "excellent",
        "lovely",
        "splendid",
        "terrific",
        "brilliant",
    ),
    "negative": (
        "awful",
        "dreadful",
        "terrible",
        "disappointing",
        "horrible",
        "dismal",
        "hopeless",
        "wretched",
    ),
    "neutral": (
        "ordinary",
        "average",
        "unremarkable",
        "standard",
        "typical",
        "conventional",
        "familiar",
        "plain",
    ),
}
_POLAR_WORDS = tuple((word, polarity) for polarity, words in _OPINIONS.items() for word in words)
# T is the term, O the opinion word, A the article that fits it.
_RIGHT = (
    "the T was O",
    "the T , as my uncle said , was O",
    "their T turned out O",
    "the T that we had on Friday seemed O",
    "we tried the T and found it O",
    "everyone at our table called the T O",
    "for the T my sister has one word : O",
    "the T here , by the way , remains O",
    "I asked about the T and was told that it is O",
    "the T , which a friend had mentioned , proved O",
)
_LEFT = (
    "A O T came first",
    "they brought us A O T",
    "my mother spoke of A O T",
    "O is the word for the T",
)
# Opinion words without a term: they must not be enough to call something an aspect.
_WITHOUT_TERM = (
    "it was A O evening",
    "we had walked for an hour",
    "our friends from Basel came too",
    "the weather that day was O",
    "nobody had booked ahead",
)
_JOINS = (", but", ", and", ", while", "; then", ", although")


@register.reader("grammar")
class GrammarReader(Reader):
    """Sentences like those of restaurant reviews, from a small grammar: aspect terms with polarity (IOB2)."""

    count: int = Field(default=1000, ge=1, description="how many sentences")
    seed: int = Field(
        default=0, description="of the choice of words; the same seed gives the same sentences anywhere"
    )
    part: Part = Field(
        default="train",
        description="no term meets the same opinion word in the same frame in two parts",
    )

    def read(self) -> Iterator[Sentence]:
        """Yield `count` sentences of one to three clauses."""
        # Seeded by a string: its hash does not depend on PYTHONHASHSEED, and each part draws its own numbers.
        draw = random.Random(f"{self.seed} {self.part}")
        for number in range(1, self.count + 1):
            words, tags = _sentence(draw, self.part)
            yield Sentence(words, tags, file=f"grammar ({self.part})", line=number)

    @classmethod
    def example(cls) -> list[Sentence]:
        """Its own first sentences."""
        return list(cls(count=8).read())


def _sentence(draw: random.Random, part: Part) -> tuple[list[str], list[str]]:
    pairs: list[tuple[str, str]] = []
    for clause in range(draw.choice((1, 1, 2, 2, 3))):
        if clause:
            pairs += [(word, "O") for word in draw.choice(_JOINS).split()]
        pairs += _clause(draw, part)
    words = [word for word, _ in pairs]
    words[0] = words[0][0].upper() + words[0][1:]
    return [*words, "."], [*(tag for _, tag in pairs), "O"]


def _clause(draw: random.Random, part: Part) -> list[tuple[str, str]]:
    """Words and tags of one clause: 70 % right-decided, 15 % left-decided, 15 % without a term."""
    kind = draw.random()
    if kind < 0.15:
        return _filled(draw.choice(_WITHOUT_TERM), "", *draw.choice(_POLAR_WORDS))
    frames = _LEFT if kind < 0.3 else _RIGHT
    while True:
        term, opinion, frame = (
            draw.randrange(len(_TERMS)),
            draw.randrange(len(_POLAR_WORDS)),
            draw.randrange(len(frames)),
        )
        if _part_of(term, opinion, frame) == part:
            return _filled(frames[frame], _TERMS[term], *_POLAR_WORDS[opinion])


def _part_of(term: int, opinion: int, frame: int) -> Part:
    """Which part a combination belongs to: a tenth each for validation and test, every word in every part."""
    residue = (term + 3 * opinion + 7 * frame) % 10
    return "validation" if residue == 0 else "test" if residue == 1 else "train"


def _filled(frame: str, term: str, opinion: str, polarity: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for word in frame.split():
        if word == "T":
            first, *others = term.split()
            pairs += [(first, f"B-{polarity}"), *((other, f"I-{polarity}") for other in others)]
        elif word == "O":
            pairs.append((opinion, "O"))
        elif word == "A":
            pairs.append(("an" if opinion[0] in "aeiou" else "a", "O"))
        else:
            pairs.append((word, "O"))
    return pairs

"""Draw the examples of prompts (few-shot examples) from the training data, by seed.

All prompts of prediction show the same examples, which are stored with the model. A training prompt shows these
(`draw: once`) or its own (`draw: per_sentence`), and never the sentence that it asks about, or another one with the
same words: the model would only learn to copy.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from ...errors import Problem, SpecError
from ...spec.instruct_settings import InstructSpec
from ...types import Sentence
from .prompt import Prompter, Shot, readable, response_text


def draw_shots(sentences: Sequence[Sentence], spec: InstructSpec, seed: int) -> tuple[Shot, ...]:
    """Draw the training sentences that every prompt shows; their number is `shots` of the spec.

    Raises:
        SpecError: there are fewer sentences than `shots`.
    """
    candidates = [sentence for sentence in sentences if sentence.words]
    if spec.shots > len(candidates):
        about = f"`shots: {spec.shots}`, but train has only {len(candidates)} sentences with words"
        raise SpecError(Problem(about, path="instruct.shots"))
    return tuple(_shot(each, spec) for each in random.Random(seed).sample(candidates, spec.shots))


def training_shots(sentences: Sequence[Sentence], prompter: Prompter, seed: int) -> list[tuple[Shot, ...]]:
    """The examples of the training prompt of each sentence; none for a sentence without words.

    Those that are drawn for a sentence depend only on the seed and its number, so they are the same in every epoch,
    in every process and after resuming. There are fewer than `shots` if too few sentences have other words.
    """
    draws = _Draws(sentences, prompter.spec, seed)
    shared = {shot.sentence for shot in prompter.shots}
    is_own = prompter.spec.draw == "per_sentence"
    return [
        draws.of(number) if is_own or text in shared else prompter.shots
        for number, text in enumerate(draws.texts)
    ]


class _Draws:
    """Draws examples for one sentence at a time from all others."""

    def __init__(self, sentences: Sequence[Sentence], spec: InstructSpec, seed: int) -> None:
        self.texts = [" ".join(readable(sentence.words)) for sentence in sentences]
        self._sentences, self._spec, self._seed = sentences, spec, seed
        self._candidates = [number for number, sentence in enumerate(sentences) if sentence.words]
        self._copies = Counter(self.texts)

    def of(self, number: int) -> tuple[Shot, ...]:
        """Examples for a sentence: `shots` others in random order."""
        if not self._sentences[number].words:
            return ()
        # At most `copies` of them are left out, and all that can be left out are copies.
        count = min(self._spec.shots + self._copies[self.texts[number]], len(self._candidates))
        drawn = random.Random(self._seed * 1_000_003 + number).sample(self._candidates, count)
        others = [each for each in drawn if self.texts[each] != self.texts[number]]
        return tuple(_shot(self._sentences[each], self._spec) for each in others[: self._spec.shots])


def _shot(sentence: Sentence, spec: InstructSpec) -> Shot:
    response = response_text(sentence.words, sentence.spans or (), spec.options)
    return Shot(" ".join(readable(sentence.words)), response)

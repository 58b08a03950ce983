"""Prompts and responses as subwords, and as packed batches for training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import torch

from ...errors import DataError, ModelError, Problem
from ...nn.packing import Packing
from ...nn.token_prediction import TokenBatch
from ...subwords.plain_tokenizer import plain_backend, special_ids
from ...subwords.samples import IGNORED
from ...types import Sentence
from .prompt import Prompter, Shot


@dataclass(frozen=True, slots=True)
class PromptSample:
    """A prompt with its correct response."""

    ids: list[int]
    learned_from: int
    """Position of the first subword that has a loss."""
    number: int = 0
    """Position in the data set, which identifies the sentence in error messages."""
    has_loss: bool = True
    shown: tuple[int, ...] = ()
    """Positions before `learned_from` that have a loss too: the responses of the examples."""
    shots: int = 0
    """Number of examples in the prompt."""

    @property
    def tokens(self) -> int:
        """Number of subwords."""
        return len(self.ids)


def without_loss(sample: PromptSample) -> PromptSample:
    """A copy that adds no loss, for a process that has no samples left while others still train."""
    return replace(sample, has_loss=False)


def pack_prompts(samples: Sequence[PromptSample]) -> TokenBatch:
    """Pack samples into one row, shortest first, so that samples of equal length are adjacent."""
    ordered = sorted(samples, key=lambda sample: sample.tokens)
    labels: list[int] = []
    for sample in ordered:
        labels += [*_learned(sample)[1:], IGNORED]
    return TokenBatch(
        ids_T=torch.tensor([number for sample in ordered for number in sample.ids]),
        packing=Packing.of_lengths([sample.tokens for sample in ordered]),
        labels=torch.tensor(labels),
        numbers=tuple(sample.number for sample in samples),
    )


def _learned(sample: PromptSample) -> list[int]:
    """The subwords of a sample; those without a loss are IGNORED."""
    first = sample.learned_from if sample.has_loss else sample.tokens
    learned = [IGNORED] * first + sample.ids[first:]
    for position in sample.shown if sample.has_loss else ():
        learned[position] = sample.ids[position]
    return learned


class PromptEncoder:
    """Encodes prompts and responses for one tokenizer. A response ends with the end-of-text token.

    Args:
        tokenizer: a fast tokenizer of transformers.
        prompter: writes the prompts.
        max_length: maximum number of subwords of prompt and response together; None if unlimited.

    Raises:
        ModelError: the tokenizer has no end-of-text token.
    """

    def __init__(self, tokenizer: Any, prompter: Prompter, max_length: int | None) -> None:
        if tokenizer.eos_token_id is None:
            about = "the tokenizer has no end-of-text token, which is needed to end a response"
            raise ModelError(Problem(about, path="backbone.name"))
        self._tokenizer = tokenizer
        self._backend = plain_backend(tokenizer.backend_tokenizer)
        self._before = special_ids(tokenizer)[0]
        self.prompter = prompter
        self.max_length = max_length
        self.end = int(tokenizer.eos_token_id)
        self.prefix = self._common_prefix()
        """The subwords with which all prompts begin."""

    def prompts(self, sentences: Sequence[Sentence]) -> list[list[int]]:
        """The prompt of each sentence, with room for at least one subword after it.

        Raises:
            DataError: a prompt exceeds the model's maximum length.
        """
        encoded = self._encode([self.prompter.prompt(sentence.words) for sentence in sentences])
        prompts = [[*self._before, *ids] for ids in encoded]
        for sentence, ids in zip(sentences, prompts, strict=True):
            self._check(len(ids) + 1, sentence, "the prompt of this sentence has")
        return prompts

    def samples(
        self, sentences: Sequence[Sentence], shots: Sequence[tuple[Shot, ...]] | None = None
    ) -> list[PromptSample]:
        """The training samples: prompt, correct response and end-of-text token of each sentence that has words.

        Args:
            sentences: sentences with spans.
            shots: examples for each sentence, of which the last ones are left out where the model cannot read all of
                them; without, those that all prompts show.

        Raises:
            DataError: a prompt with its response exceeds the model's maximum length.
        """
        shown = {
            number: self.prompter.shots if shots is None else shots[number]
            for number, sentence in enumerate(sentences)
            if sentence.words
        }
        samples = self._samples(sentences, shown)
        while fewer := {
            n: shown[n][:-1] for n, sample in samples.items() if self._may_shrink(sample, shown[n])
        }:
            shown |= fewer
            samples |= self._samples(sentences, fewer)
        for number, sample in samples.items():
            about = "the prompt of this sentence and its response have"
            self._check(sample.tokens, sentences[number], about)
        return list(samples.values())

    def _samples(
        self, sentences: Sequence[Sentence], shown: Mapping[int, tuple[Shot, ...]]
    ) -> dict[int, PromptSample]:
        """The samples of some sentences, by number, with the examples of their prompts; of any length."""
        chosen = [(sentences[number], shots) for number, shots in shown.items()]
        responses = self._encode([self.prompter.response(each.words, each.spans or ()) for each, _ in chosen])
        prompts = self._subwords([self.prompter.prompt(each.words, shots) for each, shots in chosen])
        samples = {}
        for number, (sentence, shots), prompt, response in zip(
            shown, chosen, prompts, responses, strict=True
        ):
            ids = [*self._before, *(subword for subword, _ in prompt)]
            samples[number] = PromptSample(
                [*ids, *response, self.end],
                learned_from=1 if self.prompter.spec.loss == "all" else len(ids),
                number=number,
                shown=tuple(self._shown(sentence, shots, [characters for _, characters in prompt])),
                shots=len(shots),
            )
        return samples

    def _shown(
        self, sentence: Sentence, shots: tuple[Shot, ...], subwords: Sequence[tuple[int, int]]
    ) -> Iterator[int]:
        """Positions of the subwords of a prompt that have a character of an example's response, if these are learned.

        Args:
            sentence: the sentence of the prompt.
            shots: its examples.
            subwords: the characters of each subword, after the special tokens.
        """
        if self.prompter.spec.loss != "responses":
            return
        ranges = self.prompter.shown_responses(sentence.words, shots)
        learned = {character for start, stop in ranges for character in range(start, stop)}
        for position, characters in enumerate(subwords, len(self._before)):
            if not learned.isdisjoint(range(*characters)):
                yield position

    def _may_shrink(self, sample: PromptSample, shots: tuple[Shot, ...]) -> bool:
        """Whether a sample is too long, and has examples that were drawn for it."""
        is_long = self.max_length is not None and sample.tokens > self.max_length
        return is_long and bool(shots) and shots is not self.prompter.shots

    def text(self, ids: Sequence[int]) -> str:
        """The text of a response."""
        ids = [number for number in ids if number != self.end]
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _encode(self, texts: list[str]) -> list[list[int]]:
        """The subwords of each text, without the end-of-text token, even if a word is spelled like it."""
        return [[number for number, _ in subwords] for subwords in self._subwords(texts)]

    def _subwords(self, texts: list[str]) -> list[list[tuple[int, tuple[int, int]]]]:
        """The same subwords, each with its half-open range of characters."""
        encodings = self._backend.encode_batch(texts, add_special_tokens=False)
        pairs = (zip(encoding.ids, encoding.offsets, strict=True) for encoding in encodings)
        return [[pair for pair in subwords if pair[0] != self.end] for subwords in pairs]

    def _common_prefix(self) -> list[int]:
        """The subwords that all prompts begin with, whatever the first character of the sentence."""
        texts = [self.prompter.prompt([word]) for word in ("a", "The", "0", ",", "é", "\u4e00")]
        prompts = [[*self._before, *ids] for ids in self._encode(texts)]
        shared = takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False))
        return [column[0] for column in shared]

    def _check(self, length: int, sentence: Sentence, subject: str) -> None:
        if self.max_length is not None and length > self.max_length:
            raise DataError.at(
                f"{subject} {length} subwords; the model reads {self.max_length}",
                sentence.file or "(input)",
                sentence.line,
                "shorten the sentence or the prompt (`instruct.shots`), or raise `max_length` if the model allows it",
            )

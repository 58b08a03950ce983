"""Prompts and responses as subwords, and as packed batches for training."""

from __future__ import annotations

from collections.abc import Sequence
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
from .prompt import Prompter


@dataclass(frozen=True, slots=True)
class PromptSample:
    """A prompt with its correct response."""

    ids: list[int]
    learned_from: int
    """Position of the first subword that has a loss."""
    number: int = 0
    """Position in the data set, which identifies the sentence in error messages."""
    has_loss: bool = True

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
        first = sample.learned_from if sample.has_loss else sample.tokens
        labels += [IGNORED] * (first - 1) + sample.ids[first:] + [IGNORED]
    return TokenBatch(
        ids_T=torch.tensor([number for sample in ordered for number in sample.ids]),
        packing=Packing.of_lengths([sample.tokens for sample in ordered]),
        labels=torch.tensor(labels),
        numbers=tuple(sample.number for sample in samples),
    )


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

    def samples(self, sentences: Sequence[Sentence]) -> list[PromptSample]:
        """The training samples: prompt, correct response and end-of-text token of each sentence that has words.

        Raises:
            DataError: a prompt with its response exceeds the model's maximum length.
        """
        numbers = [number for number, sentence in enumerate(sentences) if sentence.words]
        chosen = [sentences[number] for number in numbers]
        responses = self._encode([self.prompter.response(each.words, each.spans or ()) for each in chosen])
        learns_prompt = self.prompter.spec.loss == "all"
        samples = []
        for number, sentence, prompt, response in zip(
            numbers, chosen, self.prompts(chosen), responses, strict=True
        ):
            ids = [*prompt, *response, self.end]
            self._check(len(ids), sentence, "the prompt of this sentence and its response have")
            samples.append(PromptSample(ids, 1 if learns_prompt else len(prompt), number))
        return samples

    def text(self, ids: Sequence[int]) -> str:
        """The text of a response."""
        ids = [number for number in ids if number != self.end]
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _encode(self, texts: list[str]) -> list[list[int]]:
        """The subwords of each text, without the end-of-text token, even if a word is spelled like it."""
        encodings = self._backend.encode_batch(texts, add_special_tokens=False)
        return [[number for number in encoding.ids if number != self.end] for encoding in encodings]

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

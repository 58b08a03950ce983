"""Prompts and responses as subwords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import DataError, ModelError, Problem
from ...subwords.tokenization import special_ids
from ...types import Sentence
from .prompt import Prompter


@dataclass(frozen=True, slots=True)
class PromptSample:
    """A prompt, with the response that is wanted where one is to be learned."""

    ids: list[int]
    learned_from: int
    """Position of the first subword that is learned."""
    number: int = 0
    """Position in the data set, to name the sentence in an error."""
    has_loss: bool = True

    @property
    def tokens(self) -> int:
        """Subwords of it."""
        return len(self.ids)


def without_loss(sample: PromptSample) -> PromptSample:
    """The same sample without a loss: what a process computes when there is nothing left for it."""
    return replace(sample, has_loss=False)


class PromptEncoder:
    """Encodes prompts and responses for one tokenizer. A response ends with the end of a text.

    Args:
        tokenizer: a fast tokenizer of transformers.
        prompter: writes the prompts.
        max_length: subwords that prompt and response may have together; None for no limit.

    Raises:
        ModelError: the tokenizer has no subword for the end of a text.
    """

    def __init__(self, tokenizer: Any, prompter: Prompter, max_length: int | None) -> None:
        if tokenizer.eos_token_id is None:
            about = "the tokenizer has no end-of-text token, with which a response could end"
            raise ModelError(Problem(about, path="backbone.name"))
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True  # a word `</s>` is a word like any other
        self._before = special_ids(tokenizer)[0]
        self.prompter = prompter
        self.max_length = max_length
        self.end = int(tokenizer.eos_token_id)
        self.prefix = self._common_prefix()
        """What all prompts begin with."""

    def prompts(self, sentences: Sequence[Sentence]) -> list[list[int]]:
        """The prompt of each sentence; there is room for at least one subword after it.

        Raises:
            DataError: a prompt is longer than the model reads.
        """
        encoded = self._encode([self.prompter.prompt(sentence.words) for sentence in sentences])
        prompts = [[*self._before, *ids] for ids in encoded]
        for sentence, ids in zip(sentences, prompts, strict=True):
            self._check(len(ids) + 1, sentence, "the prompt of this sentence has")
        return prompts

    def samples(self, sentences: Sequence[Sentence]) -> list[PromptSample]:
        """What is learned: each sentence that has words with its response, and the end of a text after it.

        Raises:
            DataError: prompt and response are longer than the model reads.
        """
        numbers = [number for number, sentence in enumerate(sentences) if sentence.words]
        chosen = [sentences[number] for number in numbers]
        responses = self._encode([self.prompter.response(each.words, each.spans or ()) for each in chosen])
        whole_prompt = self.prompter.spec.loss == "all"
        samples = []
        for number, sentence, prompt, response in zip(
            numbers, chosen, self.prompts(chosen), responses, strict=True
        ):
            ids = [*prompt, *response, self.end]
            self._check(len(ids), sentence, "the prompt of this sentence and its response have")
            samples.append(PromptSample(ids, 1 if whole_prompt else len(prompt), number))
        return samples

    def text(self, ids: Sequence[int]) -> str:
        """The text of a response."""
        kept = [number for number in ids if number != self.end]
        return str(self._tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _encode(self, texts: list[str]) -> list[list[int]]:
        """Subwords of each text; the end of a text is not among them, whatever the words are."""
        found = [list(each.ids) for each in self._backend.encode_batch(texts, add_special_tokens=False)]
        return [[number for number in ids if number != self.end] for ids in found]

    def _common_prefix(self) -> list[int]:
        """The subwords with which prompts begin whatever their sentence begins with."""
        texts = [self.prompter.prompt([word]) for word in ("a", "The", "0", ",", "é", "\u4e00")]
        first, *others = [[*self._before, *ids] for ids in self._encode(texts)]
        shared = 0
        while all(other[shared : shared + 1] == first[shared : shared + 1] != [] for other in others):
            shared += 1
        return first[:shared]

    def _check(self, length: int, sentence: Sentence, what: str) -> None:
        if self.max_length is not None and length > self.max_length:
            raise DataError.at(
                f"{what} {length} subwords; the model reads {self.max_length}",
                sentence.file or "(input)",
                sentence.line,
                "shorten the sentence or the prompt (`instruct.shots`), or raise `max_length` if the model allows it",
            )

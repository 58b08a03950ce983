"""Text as blocks of tokens: a file of numbers on disk, so that a corpus of any size is trained on.

Each sentence is tokenised by itself, the tokens are concatenated and cut into blocks of one size; what is left
over at the end is dropped, and counted (paper §3, §6).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch

from ..data.fingerprint import Fingerprint
from ..errors import DataError, Problem
from ..files import atomic
from ..nn.objectives import Block
from ..spec.writing import plain_values
from ..types import Sentence, Unused
from .corpus_text import texts
from .pretrain_spec import PretrainSpec

TOKENS, ACCOUNT, WRITTEN_FOR = "tokens.bin", "account.json", "written_for.txt"
_BATCH = 1000


@dataclass
class Account:
    """What became of a corpus."""

    sentences: int = 0
    empty_sentences: int = 0
    tokens: int = 0
    blocks: int = 0
    dropped_tokens: int = 0
    """Left over at the end, fewer than a block."""
    replaced: int = 0
    """Places that were no text, and were replaced."""

    @classmethod
    def of(cls, folder: Path) -> Account | None:
        """That of a corpus that is written; None where there is none."""
        path = folder / ACCOUNT
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def as_json(self) -> dict[str, int]:
        """All of it, JSON-ready."""
        return asdict(self)

    def __str__(self) -> str:
        text = f"{self.sentences:,} sentences, {self.tokens:,} tokens, {self.blocks:,} blocks"
        parts = [
            f"{self.dropped_tokens} tokens left over and dropped" if self.dropped_tokens else "",
            f"{self.empty_sentences} empty sentences left out" if self.empty_sentences else "",
            f"{self.replaced} places replaced that are no text" if self.replaced else "",
        ]
        return "; ".join(filter(None, (text, *parts)))


def write_blocks(sentences: Iterable[Sentence], tokenizer: Any, spec: PretrainSpec, folder: Path) -> Account:
    """Write a corpus as token numbers to `folder`, which appears whole or not at all; holds a little at a time.

    Raises:
        DataError: as their reader; or there is less text than one block.
    """
    account = Account()
    encode = _encoder(tokenizer, spec.boundaries)
    with atomic.new_folder(folder) as partial:
        with (partial / TOKENS).open("wb") as file:
            for numbers in _encoded(texts(sentences, spec.spacing), encode, account):
                file.write(np.array(numbers, dtype=_dtype(tokenizer)).tobytes())
        account.blocks, account.dropped_tokens = divmod(account.tokens, spec.block_size)
        if not account.blocks:
            raise DataError(
                Problem(
                    f"the corpus has {account.tokens} tokens, fewer than one block of {spec.block_size}",
                    path="block_size",
                )
            )
        atomic.write_json(partial / ACCOUNT, account.as_json())
        atomic.write_text(partial / WRITTEN_FOR, _key(tokenizer, spec))
    return account


def is_written_for(folder: Path, tokenizer: Any, spec: PretrainSpec) -> bool:
    """Whether `folder` holds a corpus that was written of this text, in this way, with this tokenizer.

    Those of before that was written down are believed.
    """
    key = folder / WRITTEN_FOR
    if Account.of(folder) is None:
        return False
    return not key.exists() or key.read_text(encoding="utf-8") == _key(tokenizer, spec)


def _key(tokenizer: Any, spec: PretrainSpec) -> str:
    """A digest of what the tokens of a text depend on, but for the text itself."""
    values = plain_values(spec)
    chosen = [values[key] for key in ("corpus", "validation", "spacing", "boundaries", "block_size")]
    ends = _ends(tokenizer) if spec.boundaries == "both" else None
    of_tokenizer = _settled(tokenizer).to_str()
    return hashlib.blake2b(json.dumps([chosen, ends, of_tokenizer]).encode(), digest_size=20).hexdigest()


def fingerprint_of(folder: Path) -> Fingerprint:
    """What identifies the corpus in `folder`: it takes a second a gigabyte."""
    account = Account.of(folder)
    assert account is not None
    with (folder / TOKENS).open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    return {"sentences": account.sentences, "tokens": account.tokens, "digest": digest}


def _encoded(read: Iterator[tuple[str, Sentence]], encode: Any, account: Account) -> Iterator[list[int]]:
    """The tokens of the sentences, a thousand at a time."""
    while some := list(islice(read, _BATCH)):
        wanted = [text for text, _ in some if text.strip()]
        account.sentences += len(wanted)
        account.empty_sentences += len(some) - len(wanted)
        account.replaced += sum(_is_no_text(each) for _, sentence in some for each in sentence.unused)
        numbers = [number for ids in encode(wanted) for number in ids]
        account.tokens += len(numbers)
        yield numbers


def _is_no_text(unused: Unused) -> bool:
    """Annotations are left alone here, used or not; bytes that are no text are not."""
    return unused.type is None and "replaced" in unused.reason


def _encoder(tokenizer: Any, boundaries: Literal["tokenizer", "both", "none"]) -> Any:
    """A function from texts to the token numbers of each."""
    backend = _settled(tokenizer)
    first, last = _ends(tokenizer) if boundaries == "both" else ([], [])

    def encode(wanted: Sequence[str]) -> Iterator[list[int]]:
        for encoded in backend.encode_batch(wanted, add_special_tokens=boundaries == "tokenizer"):
            yield [*first, *encoded.ids, *last]

    return encode


def _settled(tokenizer: Any) -> Any:
    """The tokenizer below transformers' own, set to take texts as they are."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True  # a word `</s>` is a word like any other
    return backend


def _ends(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What stands for the beginning and the end of a sentence.

    Raises:
        DataError: the tokenizer has neither.
    """
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
    last = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    if first is None or last is None:
        about = "this model's tokenizer has no token for the beginning, or none for the end, of a sentence"
        raise DataError(Problem(about, path="boundaries", notes=("`boundaries: none` needs neither",)))
    return [int(first)], [int(last)]


def _dtype(tokenizer: Any) -> Any:
    return np.dtype("<u2") if len(tokenizer) <= 2**16 else np.dtype("<u4")


class Blocks(Sequence[Block]):
    """The blocks of a corpus, read from disk as they are asked for."""

    def __init__(self, folder: Path, tokenizer: Any, size: int) -> None:
        numbers = np.memmap(folder / TOKENS, dtype=_dtype(tokenizer), mode="r")
        self._rows = numbers[: len(numbers) // size * size].reshape(-1, size)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which time round this is: other tokens are masked."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Block: ...
    @overload
    def __getitem__(self, index: slice) -> list[Block]: ...
    def __getitem__(self, index: int | slice) -> Block | list[Block]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        row = self._rows[index].astype(np.int64)
        return Block(torch.from_numpy(row), index, self.epoch)


def batches(blocks: Sequence[Block], size: int, collate: Any) -> Iterator[Any]:
    """The blocks in order, `size` of them at a time."""
    for start in range(0, len(blocks), size):
        yield collate([blocks[number] for number in range(start, min(start + size, len(blocks)))])


def first_words(block: Block, tokenizer: Any) -> str:
    """Names a block in an error."""
    return f"block {block.number + 1}: {str(tokenizer.decode(block.ids.tolist()))[:100]!r}"

"""A corpus as blocks of token ids in a file, so that its size is not limited by memory.

Each sentence is tokenized separately, the tokens are concatenated, and the result is cut into blocks of equal size; the
tokens left over at the end are dropped and counted (paper §3, §6).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.fingerprint import Fingerprint
from ..errors import DataError, Problem, UsageError
from ..files import atomic, manifest
from ..files.damage import damaged, read_json
from ..nn.token_prediction import Block
from ..rundir.ownership import CORPUS_FILES
from ..spec.writing import plain_values
from ..subwords.plain_tokenizer import plain_backend
from ..subwords.tokenization import no_vector
from ..types import Sentence
from .corpus_text import texts
from .pretrain_spec import PretrainSpec

_TOKENS, _COUNTS, _SETTINGS_DIGEST = CORPUS_FILES
_SENTENCES = 1000
"""Sentences that are tokenized together."""


@dataclass
class CorpusCounts:
    """Counts of a corpus."""

    sentences: int = 0
    empty_sentences: int = 0
    tokens: int = 0
    blocks: int = 0
    dropped_tokens: int = 0
    """Tokens left over at the end, fewer than one block."""
    replaced: int = 0
    """Lines with bytes that are invalid in the encoding, or a byte-order mark, which were replaced or removed."""

    @classmethod
    def read(cls, folder: Path) -> CorpusCounts:
        """Read the counts that `write_blocks` wrote to a folder.

        Raises:
            UsageError: the file is damaged.
        """
        path = folder / _COUNTS
        values = read_json(path)
        if values.keys() != asdict(cls()).keys() or not all(
            isinstance(value, int) for value in values.values()
        ):
            raise damaged(path, "it does not have the counts of a corpus")
        return cls(**values)

    def __str__(self) -> str:
        text = f"{self.sentences:,} sentences, {self.tokens:,} tokens, {self.blocks:,} blocks"
        parts = [
            f"{self.dropped_tokens} tokens left over and dropped" if self.dropped_tokens else "",
            f"{self.empty_sentences} empty sentences left out" if self.empty_sentences else "",
            f"{self.replaced} lines with invalid bytes or byte-order marks changed" if self.replaced else "",
        ]
        return "; ".join(filter(None, (text, *parts)))


def write_blocks(
    sentences: Iterable[Sentence],
    tokenizer: Any,
    spec: PretrainSpec,
    folder: Path,
    vectors: int | None = None,
) -> CorpusCounts:
    """Write a corpus as token ids to `folder`, completely or not at all, without holding it in memory.

    `vectors` is the number of tokens for which the model has one.

    Raises:
        ModelError: the text has a token without a vector.
        DataError: a source is missing or malformed; or the text has fewer tokens than one block.
    """
    counts = CorpusCounts()
    pairs = texts(sentences, spec.spacing)
    with atomic.new_folder(folder) as partial:
        with (partial / _TOKENS).open("wb") as file:
            while batch := list(islice(pairs, _SENTENCES)):
                nonempty = [text for text, _ in batch if text.strip()]
                ids = _token_ids(nonempty, tokenizer, spec)
                if vectors is not None and (largest := max(ids, default=0)) >= vectors:
                    raise no_vector(tokenizer.convert_ids_to_tokens(largest), largest, vectors)
                counts.sentences += len(nonempty)
                counts.empty_sentences += len(batch) - len(nonempty)
                counts.tokens += len(ids)
                # Annotation is ignored here, used or not; only changes to the text count.
                counts.replaced += sum(
                    each.type is None and ("replaced" in each.reason or "byte-order mark" in each.reason)
                    for _, sentence in batch
                    for each in sentence.unused
                )
                file.write(np.array(ids, dtype=_dtype(tokenizer)).tobytes())
        counts.blocks, counts.dropped_tokens = divmod(counts.tokens, spec.block_size)
        if not counts.blocks:
            about = f"the corpus has {counts.tokens} tokens, fewer than one block of {spec.block_size}"
            raise DataError(Problem(about, path="block_size"))
        atomic.write_json(partial / _COUNTS, asdict(counts))
        atomic.write_text(partial / _SETTINGS_DIGEST, _settings_digest(tokenizer, spec))
        manifest.write(partial)
    return counts


def is_written_for(folder: Path, tokenizer: Any, spec: PretrainSpec) -> bool:
    """Whether `folder` has the corpus of this spec, written with this tokenizer, and is undamaged.

    A corpus without a digest, from an earlier version, is accepted.
    """
    path = folder / _SETTINGS_DIGEST
    if not (folder / _COUNTS).is_file():
        return False
    try:
        manifest.verify(folder)
        CorpusCounts.read(folder)
    except UsageError:
        return False  # it is written again
    return not path.exists() or path.read_text(encoding="utf-8") == _settings_digest(tokenizer, spec)


def _settings_digest(tokenizer: Any, spec: PretrainSpec) -> str:
    """A digest of everything that the token ids depend on, except the text itself."""
    values = plain_values(spec)
    settings = [values[key] for key in ("corpus", "validation", "spacing", "boundaries", "block_size")]
    ends = _ends(tokenizer) if spec.boundaries == "both" else None
    content = json.dumps([settings, ends, plain_backend(tokenizer.backend_tokenizer).to_str()])
    return hashlib.blake2b(content.encode(), digest_size=20).hexdigest()


def fingerprint_of(folder: Path) -> Fingerprint:
    """The fingerprint of the corpus in `folder`; takes one second per gigabyte."""
    counts = CorpusCounts.read(folder)
    with (folder / _TOKENS).open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    return {"sentences": counts.sentences, "tokens": counts.tokens, "digest": digest}


def _token_ids(batch: Sequence[str], tokenizer: Any, spec: PretrainSpec) -> list[int]:
    """The token ids of texts, concatenated."""
    first, last = _ends(tokenizer) if spec.boundaries == "both" else ([], [])
    adds_special = spec.boundaries == "tokenizer"
    encodings = plain_backend(tokenizer.backend_tokenizer).encode_batch(
        batch, add_special_tokens=adds_special
    )
    return [number for encoding in encodings for number in (*first, *encoding.ids, *last)]


def _ends(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens for the beginning and the end of a sentence.

    Raises:
        DataError: the tokenizer lacks one of these tokens.
    """
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
    last = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    if first is None or last is None:
        about = "this model's tokenizer has no special token for the beginning or the end of a sentence"
        raise DataError(Problem(about, path="boundaries", notes=("`boundaries: none` needs neither",)))
    return [int(first)], [int(last)]


def _dtype(tokenizer: Any) -> Any:
    return np.dtype("<u2") if len(tokenizer) <= 2**16 else np.dtype("<u4")


class Blocks(Sequence[Block]):
    """The blocks of a corpus, read from disk on access.

    Args:
        folder: where `write_blocks` wrote the corpus.
        size: tokens per block.
    """

    def __init__(self, folder: Path, tokenizer: Any, size: int) -> None:
        ids = np.memmap(folder / _TOKENS, dtype=_dtype(tokenizer), mode="r")
        self._rows = ids[: len(ids) // size * size].reshape(-1, size)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch, which decides which tokens are masked."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        """The block with a number."""
        row = self._rows[index].astype(np.int64)
        return Block(torch.from_numpy(row), index, self.epoch)

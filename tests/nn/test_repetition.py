"""Sequence repetition: sentences are read several times in a row, and words are read from the last copy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sltk.components.backbones import Decoder, TrainedTokenizer
from sltk.errors import ModelError
from sltk.nn.backbone import BuildContext, PackedBackbone
from sltk.nn.packing import Packing
from tiny_families import BY_NAME

LENGTHS = (3, 3, 5, 2)


def decoder(repeat: int = 0, family: str = "llama", **settings: Any) -> PackedBackbone:
    config = {"model_type": family, **BY_NAME[family].config()}
    spec = Decoder(
        init="random", config=config, tokenizer=TrainedTokenizer(vocab_size=257), repeat=repeat, **settings
    )
    return spec.build(BuildContext(torch.device("cpu"), seed=0, texts=lambda: ["a few words"]))


def sentences() -> list[Tensor]:
    return [torch.arange(3 + 7 * n, 3 + 7 * n + length) for n, length in enumerate(LENGTHS)]


def by_hand(backbone: PackedBackbone, copies: int) -> Tensor:
    """The vectors of the last copies, each sentence alone and repeated before the call."""
    once = decoder(unmask=[block for block, flag in enumerate(backbone.flags) if flag])
    once.load_state_dict(backbone.state_dict())
    parts = [
        once(torch.cat([ids] * copies), Packing.of_lengths([len(ids) * copies]))[-len(ids) :]
        for ids in sentences()
    ]
    return torch.cat(parts).detach()


@pytest.mark.parametrize(("repeat", "mask"), [(1, "none"), (2, "none"), (1, "0011")])
def test_a_packed_batch_gives_the_vectors_of_sentences_repeated_by_hand(repeat: int, mask: str) -> None:
    """Copies are consecutive, positions run on, and only the last copy is returned, in the original layout."""
    backbone = decoder(repeat, unmask=mask)
    vectors = backbone(torch.cat(sentences()), Packing.of_lengths(LENGTHS)).detach()
    torch.testing.assert_close(vectors, by_hand(backbone, repeat + 1), atol=1e-5, rtol=0)


def test_without_repetition_nothing_changes() -> None:
    """`repeat: 0` gives the bits of a model without the key."""
    ids, packing = torch.cat(sentences()), Packing.of_lengths(LENGTHS)
    assert torch.equal(decoder(0)(ids, packing), decoder()(ids, packing))
    assert not torch.equal(decoder(1)(ids, packing), decoder()(ids, packing))


def test_copies_share_the_positions_of_the_model() -> None:
    """A sentence may have as many subwords as fit into the positions with all copies."""
    assert [decoder(repeat).max_length for repeat in (0, 1, 2)] == [64, 32, 21]


@pytest.mark.parametrize("repeat", [0, 1])
def test_padding_that_is_attended_to_is_read_as_words(repeat: int) -> None:
    """Each copy of a sentence is followed by its padding; vectors are those of the words of the last copy."""
    backbone = decoder(repeat, unmask="0111")
    backbone.attends_to_padding = True
    vectors = backbone(torch.cat(sentences()), Packing.of_lengths(LENGTHS)).detach()
    backbone.attends_to_padding, backbone.copies = False, 1
    longest, token = max(LENGTHS), backbone.tokenizer.pad_token_id
    padded = [torch.cat([ids, ids.new_full((longest - len(ids),), token)]) for ids in sentences()]
    rows = [torch.cat([ids] * (repeat + 1)) for ids in padded]
    expected = [
        backbone(row, Packing.of_lengths([len(row)]))[repeat * longest :][: len(ids)]
        for row, ids in zip(rows, sentences(), strict=True)
    ]
    torch.testing.assert_close(vectors, torch.cat(expected).detach(), atol=1e-5, rtol=0)


def test_a_vector_depends_on_other_sentences_only_if_padding_is_attended_to() -> None:
    """The vectors of a short sentence in a batch with a longer one, and alone."""
    for flawed in (False, True):
        backbone = decoder(1)
        backbone.attends_to_padding = flawed
        alone = backbone(sentences()[3], Packing.of_lengths([2]))
        together = backbone(torch.cat(sentences()), Packing.of_lengths(LENGTHS))[-2:]
        assert torch.allclose(alone, together, atol=1e-5) != flawed


def first_copies(packing: Packing, copies: int) -> Tensor:
    """The places of the first copies."""
    lengths = torch.tensor(packing.lengths)
    return ((lengths.cumsum(0) - lengths) * copies).repeat_interleave(lengths) + packing._positions()


def test_a_model_that_does_not_read_the_last_copy_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient shows that words of the first copy have not seen the sentence, with and without unmasked blocks."""
    monkeypatch.setattr(Packing, "_last_copies", first_copies)
    with pytest.raises(ModelError, match="word 1 of a sentence does not see what it should in its copies"):
        decoder(1)
    with pytest.raises(ModelError, match=r"the last copy differs by .* from that of the stock model"):
        decoder(1, unmask="all")


def test_copies_whose_positions_do_not_run_on_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """With positions that start again in each copy, the vectors are not those of the stock model."""
    running = Packing._positions
    monkeypatch.setattr(Packing, "_positions", lambda packing: running(packing) % 5)
    with pytest.raises(ModelError, match=r"the last copy differs by .* from that of the stock model"):
        decoder(1)


def test_the_proof_records_the_number_of_copies() -> None:
    """Only if there is more than one: the record of other models stays the same."""
    assert [decoder(repeat).proof.as_json().get("copies") for repeat in (0, 2)] == [None, 3]

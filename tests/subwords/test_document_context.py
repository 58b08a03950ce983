"""Document context: which subwords are read around a sentence, and that nothing else depends on it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

import sltk
import tiny
from sltk import run as pipelines
from sltk.components.backbones import local_tokenizer
from sltk.components.readers.text import TextReader
from sltk.errors import InputError
from sltk.rehearsal import rehearse
from sltk.spec import loading
from sltk.subwords.documents import chunks
from sltk.subwords.plain_tokenizer import PlainTokenizer
from sltk.subwords.tokenization import Encoding, SubwordEncoder
from sltk.types import Prediction, Sentence

WORDS = ["Ines", "walked", "to", "the", "harbour", "of", "Brannock", "Möwen", "猫", "\u200b"]
SENTENCE = st.builds(
    lambda words, document: Sentence(words, document=document, file="a"),
    st.lists(st.sampled_from(WORDS), max_size=6),
    st.sampled_from(["1", "1", "1", "2", None]),
)
SENTENCES = st.lists(SENTENCE, min_size=1, max_size=12)


@functools.cache
def tokenizer() -> PlainTokenizer:
    """A byte-level BPE with a BOS and an EOS."""
    trained: Tokenizer = local_tokenizer.train([" ".join(WORDS)] * 3, 300)
    ids = {token: trained.token_to_id(token) for token in ("<s>", "</s>")}
    trained.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=list(ids.items())
    )
    return PlainTokenizer.with_roles(trained, local_tokenizer.TRAINED_SPECIAL)


def encoder(context: int = 0, max_length: int | None = None) -> SubwordEncoder:
    return SubwordEncoder(tokenizer(), max_length=max_length, document_context=context)


def word_ids(encoding: Encoding) -> list[list[int]]:
    """The subwords of each word, from all windows."""
    return [
        window.ids[first : last + 1]
        for window in encoding.windows
        for first, last in zip(window.first, window.last, strict=True)
    ]


def around(encoding: Encoding, plain: Encoding) -> tuple[list[int], list[int]]:
    """The subwords before and after the sentence in an encoding of one window, without special tokens."""
    (window,), (alone,) = encoding.windows, plain.windows
    start = window.first[0] - alone.first[0] + 1
    end = start + len(alone.ids) - 2
    assert window.ids[start:end] == alone.ids[1:-1]
    return window.ids[1:start], window.ids[end:-1]


@settings(max_examples=100)
@given(sentences=SENTENCES, size=st.integers(1, 40), limit=st.one_of(st.none(), st.integers(8, 60)))
def test_context_is_whole_words_of_the_document_and_never_too_much(
    sentences: list[Sentence], size: int, limit: int | None
) -> None:
    """Each side has at most `size` subwords, the nearest ones; the words have the same subwords as without context."""
    result = encoder(size, limit).encode(sentences)
    plain = encoder(0, limit).encode(sentences)
    whole = encoder().encode(sentences)
    for number, (encoding, bare) in enumerate(zip(result, plain, strict=True)):
        assert word_ids(encoding) == word_ids(bare)
        assert all(limit is None or len(window.ids) <= limit for window in encoding.windows)
        if encoding.words and len(encoding.windows) == 1:
            before, after = around(encoding, bare)
            left, right = neighbours(sentences, number)
            assert max(len(before), len(after)) <= size
            assert before in endings([whole[other] for other in left])
            assert after in beginnings([whole[other] for other in right])


def neighbours(sentences: list[Sentence], number: int) -> tuple[list[int], list[int]]:
    """Numbers of the consecutive sentences of the same document before and after a sentence."""

    def unbroken(numbers: range) -> list[int]:
        result: list[int] = []
        for other in numbers:
            if sentences[other].document is None or sentences[other].document != sentences[number].document:
                break
            result.append(other)
        return result

    return unbroken(range(number - 1, -1, -1))[::-1], unbroken(range(number + 1, len(sentences)))


def endings(encodings: list[Encoding]) -> list[list[int]]:
    """All suffixes of these sentences that start at a word or at a sentence."""
    result: list[list[int]] = [[]]
    after: list[int] = []
    for encoding in reversed([encoding for encoding in encodings if encoding.words]):
        (window,) = encoding.windows
        result += [window.ids[start:-1] + after for start in (1, *window.first)]
        after = window.ids[1:-1] + after
    return result


def beginnings(encodings: list[Encoding]) -> list[list[int]]:
    """All prefixes of these sentences that end with a word or with a sentence."""
    result: list[list[int]] = [[]]
    before: list[int] = []
    for encoding in [encoding for encoding in encodings if encoding.words]:
        (window,) = encoding.windows
        result += [before + window.ids[1:end] for end in (len(window.ids) - 1, *(p + 1 for p in window.last))]
        before = before + window.ids[1:-1]
    return result


def test_the_context_is_as_long_as_requested() -> None:
    """In the middle of a long document, each side is filled up to `size` subwords, except for a part of a word."""
    sentences = [Sentence(["the", "harbour"], document="1") for _ in range(40)]
    plain = encoder().encode(sentences)[20]
    before, after = around(encoder(10).encode(sentences)[20], plain)
    longest = max(map(len, word_ids(plain))) + 1
    assert 10 - longest < len(before) <= 10
    assert 10 - longest < len(after) <= 10


@settings(max_examples=150)
@given(sentences=SENTENCES, size=st.integers(1, 13), context=st.integers(0, 30))
def test_the_context_does_not_depend_on_the_chunk_size(
    sentences: list[Sentence], size: int, context: int
) -> None:
    """Streamed sentences are encoded like those of a complete file, in order."""
    context_encoder = encoder(context)
    parts = list(chunks(iter(sentences), size, context))
    assert [sentence for part in parts for sentence in part.sentences] == sentences
    streamed = [
        each for part in parts for each in context_encoder.encode(part.sentences, part.before, part.after)
    ]
    assert streamed == context_encoder.encode(sentences)


def test_no_sentence_is_read_ahead_without_a_document() -> None:
    """A sentence without a document is labelled as soon as it arrives."""
    consumed: list[int] = []

    def source() -> Any:
        for number in range(3):
            consumed.append(number)
            yield Sentence(["the"])

    assert next(iter(chunks(source(), 1, 50))).sentences == [Sentence(["the"])]
    assert consumed == [0]


def test_documents_of_different_files_are_different() -> None:
    """Documents with the same number `1` in two files are different documents."""
    sentences = [Sentence(["the"], document="1", file="a"), Sentence(["cat"], document="1", file="b")]
    assert encoder(8).encode(sentences) == encoder(0).encode(sentences)


DOCUMENTS = "".join(
    f"-DOCSTART- O\n\n{name} B-PER\nwalked O\n\nthe O\nharbour B-LOC\nof O\nBrannock B-LOC\n\nTomás B-PER\n\n"
    for name in ("Ines", "Lund", "Möwe", "Anna", "Bo", "Cy")
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with document context on 18 sentences of six documents."""
    folder = tmp_path_factory.mktemp("context")
    (folder / "data.conll").write_text(DOCUMENTS)
    reader = {"type": "conll", "path": str(folder / "data.conll")}
    spec = tiny.spec(data={"train": reader, "test": reader}, document_context=12)
    sltk.train(spec, folder / "run")
    return folder / "run"


def sentences() -> list[Sentence]:
    return [
        Sentence(words.split(), document=document)
        for document in ("1", "2")
        for words in ("Ines walked", "the harbour of Brannock", "Tomás", "the cat walked of")
    ]


def tags_and_scores(predictions: list[Prediction]) -> list[tuple[list[str], list[float]]]:
    return [(each.tags, each.scores or []) for each in predictions]


def test_a_reloaded_model_reads_the_context_it_was_trained_with(trained: Path) -> None:
    """The context is in sltk.json, and evaluating again gives the same test scores."""
    assert json.loads((trained / "model" / "sltk.json").read_text())["document_context"] == 12
    scores = json.loads((trained / "metrics.json").read_text())["test"]
    assert pipelines.evaluate(trained).scores["f1"] == scores["f1"]
    assert scores["words"] == 42


def test_the_context_affects_scores(trained: Path) -> None:
    """Without a document the same sentences get other scores; each word still has one tag."""
    labeller = sltk.load(trained)
    within = labeller.predict(sentences())
    alone = labeller.predict([Sentence(sentence.words) for sentence in sentences()])
    assert [len(each.tags) for each in within] == [2, 4, 1, 4, 2, 4, 1, 4]
    assert tags_and_scores(within) != tags_and_scores(alone)


def test_results_do_not_depend_on_the_batch(trained: Path) -> None:
    """Neither batch size nor window size changes a tag or, beyond rounding, a score."""
    whole = sltk.load(trained).predict(sentences())
    one_by_one = list(sltk.load(trained, batch_tokens=1).stream(sentences(), window=1))
    assert [each.tags for each in one_by_one] == [each.tags for each in whole]
    for one, other in zip(one_by_one, whole, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_lines_of_text_are_context_with_one_document(trained: Path, tmp_path: Path) -> None:
    """Lines are sentences without a document, unless `one_document` declares the file to be one."""
    text = tmp_path / "text.txt"
    text.write_text("Ines walked\n\nthe harbour of Brannock\n")
    labeller = sltk.load(trained)
    plain, whole = (
        labeller.predict(TextReader(path=text, one_document=is_one).read()) for is_one in (False, True)
    )
    assert tags_and_scores(plain) != tags_and_scores(whole)
    alone = labeller.predict(["Ines walked", "", "the harbour of Brannock"])
    assert tags_and_scores(plain) == tags_and_scores(alone)


def test_holdout_of_sentences_is_rejected_with_context() -> None:
    """Single sentences consumed out of their documents have no context, so the spec is rejected."""
    data = {"train": {"type": "grammar"}, "validation": {"type": "holdout"}}
    with pytest.raises(InputError, match="`holdout` takes sentences away from their neighbours"):
        sltk.train(tiny.spec(data=data, document_context=8))


def test_whole_documents_may_be_held_out(tmp_path: Path) -> None:
    """With `by: document`, sentences keep their context, and the spec can be rehearsed and trained."""
    path = tmp_path / "x.conll"
    path.write_text("-DOCSTART- O\n\nInes B-X\nwalked O\n\nto O\nBrannock B-X\n\n" * 9)
    held_out = {"type": "holdout", "by": "document", "count": 4}
    data = {"train": {"type": "conll", "path": str(path)}, "validation": held_out}
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps(tiny.spec(data=data, document_context=8)))
    assert rehearse(loading.load(spec))["validation"]["sentences"] == 16
    sltk.train(spec, output=tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["validation"]["sentences"] == 8

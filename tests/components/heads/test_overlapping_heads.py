"""Heads whose spans may overlap: their loss, what they learn from the data, and their errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from sltk import schemes
from sltk.components.heads import LayeredHead, SpanHead
from sltk.data.partial_labels import PartialLabels
from sltk.data.tag_numbers import TagNumbers
from sltk.decoding import Decisions
from sltk.errors import SpecError
from sltk.nn.gold_spans import candidate_classes
from sltk.nn.softmax_head import as_numpy
from sltk.runtime.progress import reporting_to
from sltk.schemes.labels import LabelSet
from sltk.types import Sentence, Span
from tiny import RecordingProgress

LABELS = LabelSet.of_types(["A", "B"], "layers")
CLASSES = [(), ("A",), ("B",), ("A", "B")]


def sentence(length: int, *spans: tuple[int, int, str], **more: Any) -> Sentence:
    own = [Span(*span) for span in spans]
    words = [f"w{number}" for number in range(length)]
    return Sentence(words, tags=schemes.encode(own, length, "layers"), spans=sorted(set(own)), **more)


SENTENCES = [
    sentence(5, (0, 5, "A"), (1, 3, "B"), (1, 2, "A"), (4, 5, "B")),
    sentence(1, (0, 1, "B")),
    sentence(4, (0, 3, "A"), (1, 4, "B"), (0, 3, "B")),
    sentence(3),
]
LENGTHS = [len(each) for each in SENTENCES]
VECTORS = torch.randn(sum(LENGTHS), 6, generator=torch.Generator().manual_seed(2))


def labels_of(sentences: list[Sentence]) -> torch.Tensor:
    number = TagNumbers.of(LABELS, sentences)
    return torch.tensor([word for each in sentences for word in number(each.tags or [])])


TAGS = labels_of(SENTENCES)


def span_module(seed: int = 0, **keys: Any) -> Any:
    torch.manual_seed(seed)
    module = SpanHead(**{"dropout": 0, "size": 4, **keys}).fitted(SENTENCES, LABELS).build(6, LABELS)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def value(loss: torch.Tensor) -> float:
    return float(loss.detach())


def gold_class(sentence: Sentence, start: int, end: int) -> int:
    return CLASSES.index(
        tuple(sorted(s.type for s in sentence.spans or () if (s.start, s.end) == (start, end)))
    )


@pytest.mark.parametrize("width", [1, 2, 3, 5, 7])
def test_every_candidate_has_its_gold_class(width):
    """The class of a candidate has the types of the spans over its words; without such a class, the first by name."""
    classes = candidate_classes(TAGS.numpy(), LENGTHS, LABELS, width, CLASSES)
    first = 0
    for each in SENTENCES:
        for start, words in itertools.product(range(len(each)), range(1, width + 1)):
            inside = start + words <= len(each)
            expected = gold_class(each, start, start + words) if inside else -100
            assert classes[first + start, words - 1] == expected
        first += len(each)
    flat = candidate_classes(TAGS.numpy(), LENGTHS, LABELS, width, CLASSES[:3])
    assert (flat == np.where(classes == 3, 1, classes)).all()
    ignored = candidate_classes(np.full_like(TAGS.numpy(), -100), LENGTHS, LABELS, width, CLASSES)
    assert (ignored == -100).all()


@pytest.mark.parametrize("scorer", ["mlp", "biaffine"])
@pytest.mark.parametrize(
    "keys",
    [{}, {"class_weights": {"O": 0.5, "B": 3, "A+B": 2}}, {"loss": "focal"}, {"max_width": 3, "coverage": 0}],
)
def test_the_loss_is_the_sum_over_all_candidates(scorer, keys):
    """It equals a written-out sum over all spans of each sentence, whose scores are those of the decoder."""
    module = span_module(scorer=scorer, **keys)
    features = module.emissions(VECTORS)
    candidates = module.decoder(LABELS, Decisions()).scorer.log_probabilities(as_numpy(features), LENGTHS)
    starts = np.cumsum([0, *LENGTHS])
    total, count = 0.0, 0
    for start, width, log_C in zip(
        candidates.starts_N.tolist(), candidates.widths_N.tolist(), candidates.log_NC, strict=True
    ):
        number = int(np.searchsorted(starts, start, side="right") - 1)
        class_ = gold_class(SENTENCES[number], start - starts[number], start - starts[number] + width)
        loss = -log_C[class_]
        if "class_weights" in keys:
            loss *= (0.5, 1, 3, 2)[class_]
        if "loss" in keys:
            loss *= (1 - np.exp(log_C[class_])) ** 2
        total, count = total + loss, count + 1
    widest = module.scorer.max_width
    assert count == sum(max(0, n - w + 1) for n in LENGTHS for w in range(1, widest + 1))
    assert value(module.loss(VECTORS, TAGS, LENGTHS)) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("head", [SpanHead, LayeredHead])
def test_a_batch_has_the_losses_and_predictions_of_its_sentences(head):
    """Sentences one by one, in any order, have the loss of all together and the same predictions."""
    torch.manual_seed(0)
    module = head(dropout=0).fitted(SENTENCES, LABELS).build(6, LABELS)
    decoder = module.decoder(LABELS, Decisions())
    together = decoder.predictions(SENTENCES, as_numpy(module.emissions(VECTORS)))
    total, first = 0.0, 0
    for each, expected in zip(SENTENCES, together, strict=True):
        rows = slice(first, first + len(each))
        total += value(module.loss(VECTORS[rows], TAGS[rows], [len(each)]))
        alone = decoder.predictions([each], as_numpy(module.emissions(VECTORS[rows])))[0]
        assert (alone.tags, alone.spans) == (expected.tags, expected.spans)
        assert alone.scores == pytest.approx(expected.scores, rel=1e-4)
        first += len(each)
    assert value(module.loss(VECTORS, TAGS, LENGTHS)) == pytest.approx(total, rel=1e-5)
    assert value(module.loss(VECTORS, torch.full_like(TAGS, -100), LENGTHS)) == 0


def test_sampled_negatives_have_the_expected_loss_of_all():
    """With a share of negatives, the mean loss of many draws is that of all; evaluation has all; the seed decides."""
    module = span_module()
    everything = value(module.loss(VECTORS, TAGS, LENGTHS))
    module.negatives = 0.25
    module.train()
    torch.manual_seed(1)
    draws = [value(module.loss(VECTORS, TAGS, LENGTHS)) for _ in range(120)]
    assert np.mean(draws) == pytest.approx(everything, rel=0.1)
    assert len(set(draws)) > 60
    torch.manual_seed(1)
    assert value(module.loss(VECTORS, TAGS, LENGTHS)) == draws[0]
    module.eval()
    assert value(module.loss(VECTORS, TAGS, LENGTHS)) == pytest.approx(everything)


def test_hidden_types_may_be_anywhere_without_a_gold_span():
    """Where a corpus does not annotate B, a candidate has its own type and B, or not B, with the sum of both."""
    module = span_module()
    partly = [sentence(5, (0, 2, "A"), annotated=frozenset("A")), sentence(2, (0, 2, "B"))]
    lengths, tags, vectors = [5, 2], labels_of(partly), VECTORS[:7]
    own = [PartialLabels(LABELS).of(each) for each in partly]
    assert own[1] is None
    allowed = torch.from_numpy(np.concatenate([own[0], np.tile([True, False, False, False, False], (2, 1))]))
    features = as_numpy(module.emissions(vectors))
    candidates = module.decoder(LABELS, Decisions()).scorer.log_probabilities(features, lengths)
    expected = 0.0
    for start, width, log_C in zip(candidates.starts_N, candidates.widths_N, candidates.log_NC, strict=True):
        place = (int(start), int(width))
        if place == (0, 2):
            expected -= np.logaddexp(log_C[1], log_C[3])
        elif place == (5, 2):
            expected -= log_C[2]
        else:
            expected -= np.logaddexp(log_C[0], log_C[2]) if start < 5 else log_C[0]
    assert value(module.loss(vectors, tags, lengths, allowed_WL=allowed)) == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_layers_is_that_of_each_of_them():
    """Each layer has the cross-entropy of its tags; layers beyond those of a batch have `O`."""
    torch.manual_seed(0)
    module = LayeredHead(dropout=0).fitted(SENTENCES, LABELS).build(6, LABELS)
    assert module.layers == TAGS.shape[1] == 3
    scores = module.emissions(VECTORS).reshape(len(VECTORS), 3, 5)
    expected = sum(
        torch.nn.functional.cross_entropy(scores[:, layer], TAGS[:, layer], reduction="sum")
        for layer in range(3)
    )
    assert value(module.loss(VECTORS, TAGS, LENGTHS)) == pytest.approx(value(expected), rel=1e-6)
    flat = TAGS.clone()
    flat[:, 1:] = 0
    assert torch.equal(module.loss(VECTORS, flat[:, :1], LENGTHS), module.loss(VECTORS, flat, LENGTHS))


def fitted(head: Any) -> tuple[Any, list[str]]:
    progress = RecordingProgress()
    with reporting_to(progress):
        return head.fitted(SENTENCES, LABELS), progress.notes


@pytest.mark.parametrize(
    ("coverage", "width", "share", "lost"),
    [(1, 5, "100.00%", 0), (0.8, 3, "87.50%", 1), (0.1, 1, "37.50%", 5)],
)
def test_the_width_is_the_least_that_covers_enough(coverage, width, share, lost):
    """`auto` becomes a number, which the model stores; its share is reported."""
    head, notes = fitted(SpanHead(coverage=coverage))
    assert head.max_width == width
    covers = f"candidates of up to {width} words cover {share} of the 8 training spans"
    assert f"head span: {covers}; {lost} lost, the longest has 5 words" in notes
    assert "head span: words with several types have a class of their own: A+B" in notes
    assert head.combinations == [["A", "B"]]
    notes = fitted(SpanHead(coverage=coverage, combinations=[]))[1]
    assert any("1 training spans have the words of another type's" in note for note in notes)


@pytest.mark.parametrize(
    "keys", [{}, {"dropout": 0.0}, {"scorer": "biaffine"}, {"scorer": "biaffine", "dropout": 0.0}]
)
def test_the_reported_memory_is_what_an_update_keeps(keys):
    """Per candidate, the tensors that autograd stores, here for sentences of 100 and of 200 words."""
    kept = {}
    for words in (100, 200):
        long = sentence(words, (0, 2, "A"))
        head = SpanHead(size=32, max_width=6, **keys).fitted([long], LABELS)
        module, vectors = head.build(1, LABELS).train(), torch.randn(words, 1)
        sizes: dict[int, int] = {}

        def record(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
            loss = module.loss(vectors, labels_of([long]), [words])
        kept[words] = sum(sizes.values())
        del loss
    per_candidate = (kept[200] - kept[100]) / (6 * 100)
    assert head.candidate_bytes(3) == pytest.approx(per_candidate, rel=0.12)


@pytest.mark.parametrize(
    ("negatives", "part", "size"), [("all", "", 20.3), (0.1, ", about 3,002 of which an update scores", 2.0)]
)
def test_the_candidates_of_the_longest_sentence_are_reported(negatives, part, size):
    """Their number, how many of them an update scores, and the memory for these."""
    head, progress = SpanHead(max_width=6, size=56, coverage=0, negatives=negatives), RecordingProgress()
    with reporting_to(progress):
        head.fitted([sentence(5002, (0, 1, "A"), (3, 9, "B"))], LABELS)
    count = f"5,002 words, has 29,997 candidates{part}: about {size} MiB in an update"
    assert f"head span: the longest training sentence, {count}" in progress.notes


@pytest.mark.parametrize(("overlap", "count"), [("none", 4), ("nested", 1), ("any", 0)])
def test_spans_that_decoding_excludes_are_counted(overlap, count):
    """A rule for overlaps that gold spans break is reported with their number."""
    _, notes = fitted(SpanHead(overlap=overlap))
    found = [note for note in notes if "overlap others" in note]
    assert found == (
        [f"head span: {count} training spans overlap others as `overlap: {overlap}` excludes in predictions"]
        if count
        else []
    )


@pytest.mark.parametrize(
    ("head", "path", "message", "note"),
    [
        (SpanHead(max_width=2), "head.max_width", "up to 2 words cover 50.00% of the 8", "`max_width: 5`"),
        (SpanHead(combinations=[["A", "C"]]), "head.combinations.0", "no type `C`", "it has: A, B"),
        (LayeredHead(layers=1), "head.layers", "1 layer holds 37.50% of the 8", "`layers: 3`"),
    ],
)
def test_a_limit_that_loses_too_many_spans_is_an_error(head, path, message, note):
    """It names its key, the share, and the least limit that is large enough."""
    with pytest.raises(SpecError) as caught:
        head.fitted(SENTENCES, LABELS)
    problem = caught.value.problems[0]
    assert problem.path == path
    assert message in problem.message
    assert note in problem.notes[0]


def test_balanced_weights_count_candidates():
    """A class of `span` has the candidates with it, and `O` all others; of `layered`, the words of all layers."""
    counts = SpanHead(max_width=5, combinations=[["B", "A"]]).class_counts(SENTENCES, LABELS)
    assert counts == {"A": 2, "B": 4, "A+B": 1, "O": 15 + 1 + 10 + 6 - 7}
    assert SpanHead(max_width=5, combinations=[]).class_counts(SENTENCES, LABELS)["A"] == 3
    tags = LayeredHead(layers=3).class_counts(SENTENCES, LABELS)
    assert tags["B-A"] == 3
    assert tags["B-B"] == 5
    assert tags.total() == 3 * sum(LENGTHS)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"decode": "constrained"}, "chooses spans, not tags"),
        ({"span_score": "minimum"}, "one probability"),
        ({"max_width": 0}, "greater than or equal to 1"),
        ({"negatives": 0}, "greater than 0"),
        ({"overlap": "crossing"}, "'none', 'nested' or 'any'"),
    ],
)
def test_keys_that_mean_nothing_are_refused(keys, message):
    """Each is one error about its key."""
    with pytest.raises(ValidationError, match=message):
        SpanHead(**keys)

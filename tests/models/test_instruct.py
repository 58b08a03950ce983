"""Prompts of instruction-tuned models, and parsing of their responses."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sltk import schemes
from sltk.components.metrics.seqeval import SeqevalMetric
from sltk.data.splits import load_splits
from sltk.errors import SpecError
from sltk.models.instruct.prompt import Prompter, check_types, response_text
from sltk.models.instruct.responses import ceiling, counts, parse
from sltk.models.instruct.shots import draw_shots
from sltk.spec.instruct_settings import InstructSpec
from sltk.spec.loading import load_data
from sltk.types import Prediction, Response, Sentence, Span

OPTIONS = {"POS": "good", "NEG": "bad", "BOTH": "good and bad"}
TYPES = {phrase: type_ for type_, phrase in OPTIONS.items()}
WORDS = ["the", "soup", "was", "cold", "but", "the", "soup", "bowl", "was", "pretty"]


def spec(**changes: Any) -> InstructSpec:
    return InstructSpec.model_validate({"instruction": "name the dishes", "options": OPTIONS, **changes})


def parse_response(
    text: str, words: list[str] = WORDS, mode: Any = "tolerant"
) -> tuple[list[Span], Response]:
    return parse(Response(text), words, TYPES, mode)


def test_a_prompt_has_the_blocks_of_the_paper() -> None:
    """Instruction, options, sentence and response have headings, with blank lines between them."""
    assert Prompter(spec()).prompt(["Cold", "soup"]) == (
        "### Instruction:\nname the dishes\n\n### Options:\ngood, bad, good and bad\n\n"
        "### Sentence:\nCold soup\n\n### Response:\n"
    )


def test_braces_in_a_sentence_are_ordinary_words() -> None:
    """Placeholders of the template are not filled inside a sentence."""
    assert "\n{options} {sentence}\n" in Prompter(spec()).prompt(["{options}", "{sentence}"])


def test_a_response_lists_the_spans_in_order() -> None:
    """A colon separates span and option, semicolons separate spans; without spans, the response is empty."""
    spans = [Span(6, 8, "POS"), Span(1, 2, "NEG")]
    assert Prompter(spec()).response(WORDS, spans) == "soup:bad;soup bowl:good"
    assert Prompter(spec()).response(WORDS, []) == ""


def test_examples_are_drawn_by_seed() -> None:
    """A seed always draws the same sentences, another seed draws others; each is shown with its response."""
    sentences = [Sentence([f"w{n}", "x"], spans=[Span(0, 1, "POS")]) for n in range(50)]
    settings = spec(shots=3)
    shots = draw_shots(sentences, settings, 1)
    assert shots == draw_shots(sentences, settings, 1) != draw_shots(sentences, settings, 2)
    prompt = Prompter(settings, shots).prompt(["last"])
    places = [prompt.index(f"### Sentence:\n{s.sentence}\n\n### Response:\n{s.response}\n\n") for s in shots]
    assert sorted(places) == places
    assert prompt.endswith("### Sentence:\nlast\n\n### Response:\n")


def test_more_examples_than_sentences_are_an_error() -> None:
    """The error says how many sentences there are."""
    with pytest.raises(SpecError, match="`shots: 3`, but train has only 1 sentences with words"):
        draw_shots([Sentence(["a"]), Sentence([])], spec(shots=3), 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"A": "x", "B": "x"}}, "`B` and `A` have the same option, `x`"),
        ({"options": {"A": "x:y"}}, "the option `x:y` contains `:`"),
        ({"options": {"A": "x;"}}, "the option `x;` contains `;`"),
        ({"options": {"A": " x"}}, "is not a phrase"),
        ({"options": {"A": ""}}, "is not a phrase"),
        ({"options": {}}, "at least 1"),
        ({"template": "{sentense}"}, "unknown placeholder {sentense}"),
        ({"template": "{options}"}, "expected {sentence} once, found it 0 times"),
        ({"example": "{sentence}"}, "expected {response} once"),
        ({"template": "{sentence}", "shots": 1}, "no {examples}"),
        (
            {"loss": "responses"},
            "`loss: responses` is about the examples in the prompt: set `shots` to at least 1",
        ),
        ({"draw": "per_sentence"}, "`draw: per_sentence` is about the examples"),
        ({"sampling": {"temperature": 0}}, "greater than 0"),
    ],
)
def test_invalid_settings_are_rejected(changes: dict[str, Any], message: str) -> None:
    """Options must be distinct and without separators, and templates must have their placeholders."""
    with pytest.raises(ValidationError) as caught:
        spec(**changes)
    assert message in str(caught.value)


def test_a_type_without_an_option_is_an_error_that_names_it() -> None:
    """All such types are reported, with the nearest type that has an option."""
    with pytest.raises(SpecError) as caught:
        check_types(["POS", "NEGG", "X"], OPTIONS, "train")
    first, second = caught.value.problems
    assert first.message == "the type `NEGG` of train has no option in the prompt"
    assert (first.suggestion, second.suggestion, first.path) == ("NEG", None, "instruct.options")


def test_repeated_spans_are_matched_in_order() -> None:
    """The second span with the same text is matched at the second occurrence."""
    spans, response = parse_response("soup:bad;soup:good")
    assert spans == [Span(1, 2, "NEG"), Span(6, 7, "POS")]
    assert response.unmatched == 0


def test_only_tolerant_parsing_matches_spans_out_of_order() -> None:
    """`paper` only searches forward; `tolerant` searches backward if nothing matches ahead."""
    text = "bowl:good;cold:bad"
    assert parse_response(text)[0] == [Span(3, 4, "NEG"), Span(7, 8, "POS")]
    spans, response = parse_response(text, mode="paper")
    assert (spans, response.unmatched) == ([Span(7, 8, "POS")], 1)


@pytest.mark.parametrize(
    ("piece", "malformed", "unknown"),
    [("soup", 1, 0), ("", 1, 0), (":bad", 1, 0), ("soup:", 1, 0), ("soup:so so", 0, 1)],
)
def test_a_malformed_piece_is_discarded_with_all_spans_in_paper_mode(
    piece: str, malformed: int, unknown: int
) -> None:
    """Both modes count the piece; with `paper`, the sentence has no spans."""
    spans, response = parse_response(f"cold:bad;{piece};bowl:good")
    assert spans == [Span(3, 4, "NEG"), Span(7, 8, "POS")]
    assert (response.pieces, response.malformed, response.unknown_type) == (3, malformed, unknown)
    spans, response = parse_response(f"cold:bad;{piece};bowl:good", mode="paper")
    assert (spans, response.lost_sentence) == ([], True)
    assert (response.malformed, response.unknown_type) == (malformed, unknown)


def test_a_span_that_is_not_in_the_sentence_is_counted_as_unmatched() -> None:
    """A span must consist of whole words of the sentence."""
    spans, response = parse_response("salad:good;sou:bad;soup was:bad;the soup was cold:bad")
    assert spans == [Span(1, 3, "NEG")]
    assert (response.pieces, response.unmatched) == (4, 3)


def test_spans_may_contain_colons() -> None:
    """A piece is split at its last colon."""
    assert parse_response("10:30:good", ["at", "10:30"])[0] == [Span(1, 2, "POS")]


def test_an_empty_response_has_no_pieces() -> None:
    """The response of a sentence without spans is empty, apart from white space."""
    assert parse_response(" \n") == ([], Response(" \n"))


words = st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=4), max_size=8)


@st.composite
def annotated_sentences(draw: st.DrawFn) -> tuple[list[str], list[Span]]:
    """Words, and spans of them that do not overlap."""
    sentence = draw(words)
    borders = sorted(draw(st.sets(st.integers(0, len(sentence)))))
    spans = [Span(a, b, draw(st.sampled_from(list(OPTIONS)))) for a, b in pairwise(borders)]
    return sentence, [span for span in spans if draw(st.booleans())]


@settings(max_examples=200)
@given(annotated_sentences(), st.sampled_from(["tolerant", "paper"]))
def test_correct_responses_are_parsed_with_all_spans(pair: tuple[list[str], list[Span]], mode: Any) -> None:
    """Without separators in words, nothing is malformed and no span is lost; a span may be matched earlier."""
    sentence = [word.replace(";", ",") for word in pair[0]]
    spans, response = parse(Response(response_text(sentence, pair[1], OPTIONS)), sentence, TYPES, mode)
    assert (response.malformed, response.unknown_type, response.unmatched) == (0, 0, 0)
    expected = [(sentence[span.start : span.end], span.type) for span in sorted(pair[1])]
    assert [(sentence[span.start : span.end], span.type) for span in spans] == expected


@settings(max_examples=200)
@given(st.text(alphabet="ab:; \ngood", max_size=40), words, st.sampled_from(["tolerant", "paper"]))
def test_any_response_can_be_parsed(text: str, sentence: list[str], mode: Any) -> None:
    """Any text gives spans without overlap, and every piece is used or counted."""
    spans, response = parse(Response(text), sentence, TYPES, mode)
    assert len(schemes.encode(spans, len(sentence), "IOB2")) == len(sentence)
    if not response.lost_sentence:
        assert len(spans) + response.malformed + response.unknown_type + response.unmatched == response.pieces


def seqeval_scores(predictions: Any) -> dict[str, Any]:
    pairs = [(each.sentence.tags, each.tags) for each in predictions]
    return SeqevalMetric().compute([gold for gold, _ in pairs], [tags for _, tags in pairs], "IOB2")


def test_the_ceiling_is_below_one_if_the_format_is_ambiguous() -> None:
    """If only the second of two equal words is a span, the parser matches the first."""
    sentence = Sentence(["soup", "after", "soup"], ["O", "O", "B-POS"])
    plain = Sentence(["soup", "first"], ["B-POS", "O"])
    predictions = [Prediction(each, ["O"] * len(each)) for each in (sentence, plain)]
    assert ceiling(predictions, spec(), "IOB2", seqeval_scores)["f1"] == 0.5
    assert ceiling(predictions[1:], spec(), "IOB2", seqeval_scores)["f1"] == 1.0


def test_counts_add_up_over_responses() -> None:
    """Pieces, reasons, cut responses, and speed are summed over responses; other predictions are skipped."""
    predictions = [
        Prediction(Sentence(["a"]), ["O"], response=Response("a", True, 2, 1, 0, 1, seconds=0.25)),
        Prediction(Sentence(["b"]), ["O"], response=Response("", seconds=0.25)),
        Prediction(Sentence([]), []),
    ]
    assert counts(predictions) == {
        "responses": 2, "pieces": 2, "malformed": 1, "unknown_type": 0, "unmatched": 1, "lost_sentences": 0,
        "cut": 1, "seconds": 0.5, "sentences_per_second": 4.0,
    }  # fmt: skip


def test_the_ceiling_on_the_restaurant_reviews_is_that_of_the_paper(corpora: Path) -> None:
    """The ceiling is 99.94, 100.0 and 99.82 F1 on train, validation and test (section 5)."""
    phrases = {name: name for name in ("positive", "negative", "neutral", "conflict")}
    for part, published in (("train", 99.94), ("valid", 100.0), ("test", 99.82)):
        path = corpora / "rest14" / "paper_split" / f"absa_{part}.csv"
        split = load_splits(load_data({"train": {"type": "csv", "path": path}}), "IOB2")["train"]
        predictions = [Prediction(sentence, []) for sentence in split]
        for mode in ("paper", "tolerant"):
            best = ceiling(predictions, spec(options=phrases, parsing=mode), "IOB2", seqeval_scores)["f1"]
            assert round(100 * best, 2) == published

"""The spaCy component `sltk`: entities and span groups in pipelines, with scores, batches, files and processes."""

from __future__ import annotations

import importlib
import pickle
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import known_names
import onnx_folder
import sltk
import tiny
from sltk.errors import ModelError, UsageError

TEXT = "Kai met Mira in Oslo ."
FAMILY = "\U0001f469\U0001f3fd\u200d\U0001f692"


@pytest.fixture(scope="module", autouse=True)
def _factory(spacy_library: ModuleType) -> None:
    """The factory is registered on import, as its entry point does; tests need no installed package."""
    importlib.import_module("sltk.integrations.spacy_component")


@pytest.fixture(scope="module")
def nlp(spacy_library: ModuleType, known_names_run: Path) -> Any:
    """A blank pipeline with the component."""
    return pipeline(spacy_library, known_names_run)


@pytest.fixture
def other(nlp: Any) -> Iterator[Any]:
    """The same pipeline; settings that a test changes are undone."""
    component = nlp.get_pipe("sltk")
    before, labeller = dict(component.__dict__), component.model.labeller
    yield nlp
    component.__dict__.update(before)
    component.model._labeller = labeller


def pipeline(spacy: ModuleType, run: Path, **config: Any) -> Any:
    nlp = spacy.blank("en")
    nlp.add_pipe("sltk", config={"model": str(run), **config})
    return nlp


def entities(doc: Any) -> list[tuple[str, str]]:
    return [(entity.text, entity.label_) for entity in doc.ents]


def test_entities_are_those_of_the_model(nlp: Any, known_names_run: Path) -> None:
    """`doc.ents` has the spans that sltk predicts for the same words, with their scores."""
    doc = nlp(TEXT)
    assert entities(doc) == [("Kai", "PER"), ("Mira", "PER"), ("Oslo", "LOC")]
    (prediction,) = sltk.load(known_names_run).predict([[token.text for token in doc]])
    assert [entity._.sltk_score for entity in doc.ents] == [span.score for span in prediction.spans]
    assert [token.ent_iob_ for token in doc] == ["B", "O", "B", "O", "B", "O"]
    assert nlp.pipe_labels["sltk"] == ["LOC", "PER"]


def test_a_span_group_is_set_on_request(other: Any) -> None:
    """`target: spans` sets a group with scores, and leaves the entities alone."""
    other.get_pipe("sltk").target = "spans"
    doc = other(TEXT)
    group = doc.spans["sltk"]
    assert [(span.text, span.label_) for span in group] == [("Kai", "PER"), ("Mira", "PER"), ("Oslo", "LOC")]
    assert list(group.attrs["scores"]) == pytest.approx([span._.sltk_score for span in group])
    assert not doc.ents
    assert len(doc.__class__(doc.vocab).from_bytes(doc.to_bytes()).spans["sltk"].attrs["scores"]) == 3


def test_spans_below_the_minimum_are_left_out(other: Any) -> None:
    """`min_score` is compared with the score of each span."""
    other.get_pipe("sltk").min_score = 1.0
    assert not other(TEXT).ents


def test_decoding_is_a_setting(spacy_library: ModuleType, known_names_run: Path) -> None:
    """`decode: constrained` gives what sltk gives with it."""
    text = "Kai Kai Mira Oslo in in Turku Her the 4111 soup Mira"
    doc = pipeline(spacy_library, known_names_run, decode="constrained")(text)
    (prediction,) = sltk.load(known_names_run, decode="constrained").predict([text.split()])
    assert [(e.start, e.end, e.label_) for e in doc.ents] == [
        (s.start, s.end, s.type) for s in prediction.spans
    ]


def test_pipe_gives_what_single_calls_give(nlp: Any) -> None:
    """Batches change nothing, keep the order, and hold empty, blank and one-word documents."""
    texts = [TEXT, "", " \n ", "Mira", f"{FAMILY} 😀 met Mira", "the soup in Turku was cold ."] * 3
    batched = [(doc.text, entities(doc)) for doc in nlp.pipe(texts, batch_size=4)]
    assert batched == [(text, entities(nlp(text))) for text in texts]


def test_pipe_fills_batches_across_documents(other: Any) -> None:
    """All documents of a batch are labelled together: one call of the model."""
    component = other.get_pipe("sltk")
    calls = []

    class Counting:
        labels = component.model.labeller.labels

        @staticmethod
        def predict(inputs: Any, labeller: Any = component.model.labeller) -> Any:
            calls.append(list(inputs))
            return labeller.predict(calls[-1])

    component.model._labeller = Counting
    list(other.pipe([TEXT] * 10, batch_size=5))
    assert [len(call) for call in calls] == [5, 5]


def test_sentences_are_labelled_one_by_one(
    spacy_library: ModuleType, nlp: Any, known_names_run: Path
) -> None:
    """With sentence boundaries, the model reads each sentence by itself, with its own text."""
    component = nlp.get_pipe("sltk")
    doc = spacy_library.blank("en")("Kai met Mira . Oslo  is cold .")
    for token in doc:
        token.is_sent_start = token.text in ("Kai", "Oslo")
    component(doc)
    labeller = sltk.load(known_names_run)
    predictions = labeller.predict([["Kai", "met", "Mira", "."], ["Oslo", "is", "cold", "."]])
    assert [entity._.sltk_score for entity in doc.ents] == [
        span.score for prediction in predictions for span in prediction.spans
    ]


def test_existing_entities_stay_unless_overwritten(spacy_library: ModuleType, other: Any) -> None:
    """Of two overlapping entities the existing one stays; the other is listed in `doc._.sltk_left_out`."""
    component = other.get_pipe("sltk")
    span = spacy_library.tokens.Span
    for overwrite, expected, left_out in (
        (False, [("Kai met", "EVENT"), ("Mira", "PER"), ("Oslo", "LOC")], [(0, 3, "PER")]),
        (True, [("Kai", "PER"), ("Mira", "PER"), ("Oslo", "LOC")], [(0, 7, "EVENT")]),
    ):
        component.overwrite = overwrite
        doc = other.make_doc(TEXT)
        doc.set_ents([span(doc, 0, 2, label="EVENT")], missing=[doc[2:]])
        component(doc)
        assert entities(doc) == expected
        assert [entry[:3] for entry in doc._.sltk_left_out] == left_out


@pytest.mark.parametrize("overwrite", [False, True])
def test_blocked_tokens_get_no_entity(other: Any, overwrite: bool) -> None:
    """What another component has blocked stays blocked."""
    component = other.get_pipe("sltk")
    component.overwrite = overwrite
    doc = other.make_doc(TEXT)
    doc.set_ents([], blocked=[doc[0:1]], default="missing")
    component(doc)
    assert entities(doc) == [("Mira", "PER"), ("Oslo", "LOC")]
    assert (doc[0].ent_iob_, doc[0].ent_type_) == ("B", "")


@given(
    pieces=st.lists(
        st.sampled_from(
            [
                "Mira",
                "Oslo",
                " ",
                "\n",
                "\t",
                FAMILY,
                "\u200d",
                "\u200b",
                "\ufe0f",
                "שלום",
                "\u202e",
                "\x00",
                "é",
                ".",
            ]
        )
        | st.text(st.characters(codec="utf-8"), max_size=3),
        max_size=8,
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_can_be_labelled(nlp: Any, pieces: list[str]) -> None:
    """Emoji, direction marks, NUL, blanks and words without subwords: entities are whole tokens, never blank."""
    doc = nlp("".join(pieces))
    assert doc.text == "".join(pieces)
    for entity in doc.ents:
        assert not entity[0].text.isspace()
        assert not entity[-1].text.isspace()
        assert 0 < entity._.sltk_score <= 1


def test_words_may_be_anything(nlp: Any, spacy_library: ModuleType) -> None:
    """A document made of ready words has one word per token, whatever the words are."""
    words = ["Mira", "\u200d", "\x00", "New York", "\u00a0", FAMILY, "Oslo"]
    doc = spacy_library.tokens.Doc(nlp.vocab, words=words)
    nlp.get_pipe("sltk")(doc)
    assert ("Mira", "PER") in entities(doc)
    assert ("Oslo", "LOC") in entities(doc)


def test_tokens_without_subwords_are_words_too(spacy_library: ModuleType, tmp_path: Path) -> None:
    """A tokenizer of BERT's kind has no subwords for control characters; other words keep their places."""
    backbone = tiny.backbone(tokenizer=str(known_names.save_wordpiece(tmp_path / "tokenizer")), unmask="11")
    nlp = pipeline(spacy_library, known_names.train(tmp_path, backbone=backbone))
    words = ["\u200d", "Kai", "\x00", "met", "\u200b", "Mira", "\ufeff", "."]
    doc = nlp.get_pipe("sltk")(spacy_library.tokens.Doc(nlp.vocab, words=words))
    assert {(entity.start, entity.label_) for entity in doc.ents} >= {(1, "PER"), (5, "PER")}
    alone = nlp.get_pipe("sltk")(spacy_library.tokens.Doc(nlp.vocab, words=["\u200d"]))
    assert len(alone.ents) <= 1


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.multiprocess)])
def test_onnx_exports_work_too(
    onnx_library: ModuleType, spacy_library: ModuleType, tmp_path: Path, processes: int
) -> None:
    """The component gives what sltk gives for the same words, also in several processes."""
    export = onnx_folder.write(tmp_path / "export")
    nlp = pipeline(spacy_library, export)
    texts = ["the soup was awful", "", f"Ines {FAMILY} ate the menu"] * 2
    docs = list(nlp.pipe(texts, n_process=processes, batch_size=2))
    predictions = sltk.load(export).predict([[token.text for token in doc] for doc in docs if len(doc)])
    expected = [(span.start, span.end, span.type, span.score) for each in predictions for span in each.spans]
    assert expected
    found = [(e.start, e.end, e.label_, e._.sltk_score) for doc in docs for e in doc.ents]
    assert [each[:3] for each in found] == [each[:3] for each in expected]
    assert [each[3] for each in found] == pytest.approx([each[3] for each in expected])


def test_models_with_plain_tags_are_refused(spacy_library: ModuleType, tmp_path: Path) -> None:
    """Part-of-speech tags are no entities."""
    reader = {"type": "conll", "path": str(tmp_path / "names.conll"), "scheme": "plain"}
    run = known_names.train(tmp_path, epochs=1, data={"train": reader}, scheme="plain")
    with pytest.raises(UsageError, match="gives each word a tag, and has no spans"):
        pipeline(spacy_library, run)


def test_the_pipeline_is_saved_and_loaded(
    spacy_library: ModuleType, nlp: Any, known_names_run: Path, tmp_path: Path
) -> None:
    """`to_disk` and `to_bytes` store a reference to the model; another model in its place is refused."""
    run = shutil.copytree(known_names_run, tmp_path / "run")
    mine = pipeline(spacy_library, run, min_score=0.5)
    mine.to_disk(tmp_path / "pipeline")
    again = spacy_library.load(tmp_path / "pipeline")
    assert again.get_pipe("sltk").min_score == 0.5
    assert entities(again(TEXT)) == entities(nlp(TEXT))
    again.from_bytes(mine.to_bytes())
    (run / "model" / "manifest.json").write_text((run / "model" / "manifest.json").read_text() + " ")
    with pytest.raises(ModelError, match="is not the model that the pipeline was saved with"):
        spacy_library.load(tmp_path / "pipeline")
    shutil.rmtree(run)
    with pytest.raises(UsageError, match="run"):
        spacy_library.load(tmp_path / "pipeline")
    moved = {"components": {"sltk": {"model": str(known_names_run)}}}
    assert entities(spacy_library.load(tmp_path / "pipeline", config=moved)(TEXT)) == entities(nlp(TEXT))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"model": 3}'])
def test_a_damaged_reference_is_one_error(nlp: Any, content: bytes) -> None:
    """The error says what is missing."""
    with pytest.raises(ModelError, match="the saved pipeline is damaged"):
        nlp.get_pipe("sltk").from_bytes(content)


def test_a_component_can_be_pickled(nlp: Any) -> None:
    """A process that receives the component loads the model itself."""
    component = pickle.loads(pickle.dumps(nlp.get_pipe("sltk")))
    assert entities(component(nlp.make_doc(TEXT))) == entities(nlp(TEXT))


@pytest.mark.multiprocess
def test_several_processes_give_the_same(nlp: Any) -> None:
    """`n_process=2` works: each process loads the model."""
    texts = [TEXT, "Mira", ""] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads
        docs = list(nlp.pipe(texts, n_process=2, batch_size=2))
    assert [entities(doc) for doc in docs] == [entities(nlp(text)) for text in texts]
    assert all(entity._.sltk_score is not None for doc in docs for entity in doc.ents)


def test_errors_reach_the_error_handler(other: Any) -> None:
    """A batch that fails goes to spaCy's error handler, and the others are labelled."""
    component = other.get_pipe("sltk")
    labeller, failed = component.model.labeller, []

    class Failing:
        labels = labeller.labels

        @staticmethod
        def predict(inputs: Any) -> Any:
            sentences = list(inputs)
            if "soup" in sentences[0].words:
                raise RuntimeError("no soup")
            return labeller.predict(sentences)

    component.model._labeller = Failing
    with pytest.raises(RuntimeError, match="no soup"):
        list(other.pipe(["the soup"]))
    other.set_error_handler(lambda name, proc, docs, error: failed.append((name, len(docs), str(error))))
    docs = list(other.pipe([TEXT, "the soup", TEXT], batch_size=1))
    assert [len(doc.ents) for doc in docs] == [3, 3]
    assert failed == [("sltk", 1, "no soup")]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "model"),
        ({"model": "no/such/run"}, "no/such/run"),
        ({"model": "RUN", "target": "entities"}, "target"),
        ({"model": "RUN", "min_score": "high"}, "min_score"),
        ({"model": "RUN", "min_score": 2}, "min_score"),
        ({"model": "RUN", "batch_tokens": 0}, "batch_tokens"),
        ({"model": "RUN", "decode": "viterbi"}, "decode"),
        ({"model": "RUN", "treshold": 0.5}, "treshold"),
    ],
)
def test_bad_settings_are_named(
    spacy_library: ModuleType, known_names_run: Path, config: dict[str, Any], message: str
) -> None:
    """A missing model, and unknown or impossible settings, are errors that name the key."""
    settings = {key: str(known_names_run) if value == "RUN" else value for key, value in config.items()}
    with pytest.raises(Exception, match=message):
        spacy_library.blank("en").add_pipe("sltk", config=settings)


def test_spacy_evaluates_the_pipeline(nlp: Any, other: Any, spacy_library: ModuleType) -> None:
    """`nlp.evaluate` scores entities, or the span group."""
    gold = nlp.make_doc(TEXT)
    labelled = nlp(TEXT)
    gold.ents = [spacy_library.tokens.Span(gold, e.start, e.end, label=e.label_) for e in labelled.ents[:2]]
    gold.spans["sltk"] = list(gold.ents)
    example = spacy_library.training.Example(nlp.make_doc(TEXT), gold)
    assert nlp.evaluate([example])["ents_p"] == pytest.approx(2 / 3)
    nlp.get_pipe("sltk").target = "spans"
    example = spacy_library.training.Example(nlp.make_doc(TEXT), gold)
    assert nlp.evaluate([example])["spans_sltk_r"] == 1.0

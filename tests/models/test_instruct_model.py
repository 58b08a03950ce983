"""`type: instruct`: training, resuming, loading, export, batches, and constrained decoding."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

import sltk
import tiny
from sltk.components.readers.grammar import GrammarReader
from sltk.data.splits import load_splits
from sltk.errors import DataError, InvalidSpecError, ModelError, RunError, SpecError
from sltk.exporting import export
from sltk.models import kinds
from sltk.models.instruct import model as instruct_type
from sltk.models.instruct.automaton import Automaton
from sltk.models.instruct.constraint import ConstrainedResponse, SpanConstraint
from sltk.models.instruct.encoding import PromptSample, pack_prompts, without_loss
from sltk.models.instruct.generation import (
    Generator,
    Request,
    attending_with_cache,
    forward,
    left_padded,
    prove,
)
from sltk.models.instruct.shots import draw_shots
from sltk.nn.packing import Packing
from sltk.run import evaluate
from sltk.runtime.progress import Progress
from sltk.spec import loading
from sltk.spec.instruct_settings import Sampling
from sltk.types import Prediction, Sentence

OPTIONS = {"positive": "good", "negative": "bad", "neutral": "so so"}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"num_key_value_heads": 1, "sliding_window": 6},
    "gemma2": {"num_key_value_heads": 1, "head_dim": 16, "sliding_window": 6},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
}


def spec(
    instruct: dict[str, Any] | None = None, trainer: dict[str, Any] | None = None, **changes: Any
) -> Any:
    """A tiny causal decoder with prompts for the spans of the quickstart's sentences."""
    shape = {**tiny.LLAMA, "max_position_embeddings": 512}
    settings = {"instruction": "name the dishes", "options": OPTIONS, "max_response": 24, **(instruct or {})}
    backbone = tiny.backbone(config=shape, unmask="none", tokenizer={"type": "train", "vocab_size": 400})
    whole = tiny.spec(trainer, backbone=backbone, data=tiny.all_splits(), type="instruct", instruct=settings)
    del whole["head"]
    return {**whole, **changes}


def lora(**changes: Any) -> dict[str, Any]:
    return {**spec()["backbone"], "lora": {"r": 2, "alpha": 4}, **changes}


def model(**instruct: Any) -> Any:
    """An untrained model with two random blocks."""
    return _model(json.dumps(instruct))


@functools.cache
def _model(instruct: str) -> Any:
    experiment = loading.load(spec(json.loads(instruct))).spec
    training = load_splits(experiment.data, "IOB2")["train"]
    return instruct_type.build(experiment, training)


def response_texts(predictions: Iterable[Prediction]) -> list[str]:
    texts = []
    for each in predictions:
        assert each.response is not None
        texts.append(each.response.text)
    return texts


def sentences(count: int = 12) -> list[Sentence]:
    return [Sentence(each.words) for each in GrammarReader(count=count, part="test").read()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an adapter, trained until its responses contain spans."""
    folder = tmp_path_factory.mktemp("instruct") / "run"
    sltk.train(spec(trainer={"epochs": 4, "learning_rate": 0.02}, backbone=lora()), folder)
    return folder


def test_a_run_has_the_files_of_every_run_and_counts_its_responses(run: Path) -> None:
    """metrics.json has scores, counts of unused pieces by reason, and the ceiling of the format."""
    metrics = json.loads((run / "metrics.json").read_text())
    assert {"validation", "test", "train"} == metrics.keys()
    responses = metrics["test"]["responses"]
    assert responses["responses"] == 8
    assert {"pieces", "malformed", "unknown_type", "unmatched", "lost_sentences", "cut"} <= responses.keys()
    assert responses["ceiling"]["f1"] > 0.9
    assert responses["sentences_per_second"] > 0
    kernels = json.loads((run / "environment.json").read_text())["attention"]
    assert {"kernel": "sdpa", "reason": "keys and values are in a cache"}.items() <= kernels[
        "generation"
    ].items()
    lines = (run / "predictions/test.conll").read_text().splitlines()
    assert sum(map(bool, lines)) == metrics["test"]["words"]
    names = {path.name for path in (run / "model").iterdir()}
    assert names == {"adapter", "base", "tokenizer", "manifest.json", "sltk.json"}


def test_the_resolved_spec_has_no_keys_of_taggers(run: Path) -> None:
    """The saved spec loads as `type: instruct`."""
    text = (run / "spec.yaml").read_text()
    assert "head:" not in text
    assert "aligner:" not in text
    assert loading.load(run / "spec.yaml").spec.type == "instruct"


def test_loaded_and_exported_models_give_the_responses_of_the_trained_model(
    run: Path, tmp_path: Path
) -> None:
    """A run and its export give the same tags and counts."""
    result = evaluate(run)
    tags = [
        line.split("\t")[-1] for line in (run / "predictions/test.conll").read_text().splitlines() if line
    ]
    assert [tag for prediction in result.predictions for tag in prediction.tags] == tags
    saved_scores = json.loads((run / "metrics.json").read_text())["test"]
    for counts in (result.scores["responses"], saved_scores["responses"]):
        del counts["seconds"], counts["sentences_per_second"]
    assert result.scores == saved_scores
    export(run, tmp_path / "exported")
    again = sltk.load(tmp_path / "exported").predict([each.sentence.words for each in result.predictions])
    assert response_texts(again) == response_texts(result.predictions)
    assert sltk.load(run).predict("a dreadful soup")[0].words == ["a", "dreadful", "soup"]


def test_responses_depend_on_the_current_weights() -> None:
    """After training, responses are generated from the first subword of the prompt, without an old cache."""
    experiment = loading.load(spec()).spec
    training = load_splits(experiment.data, "IOB2")["train"]
    subject = instruct_type.build(experiment, training)

    def responses() -> list[str]:
        return response_texts(instruct_type.predict(subject, sentences(), 4096, 64, Progress()))

    before = responses()
    with torch.no_grad():
        for parameter in subject.network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    after = responses()
    assert after != before
    subject.encoder.prefix = []
    assert after == responses()


def test_the_loss_in_half_precision_is_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors whose sum overflows float16 have a finite loss."""
    subject = model()
    network = copy.deepcopy(subject.network).half()
    width = network.backbone.hidden_size
    monkeypatch.setattr(
        type(network.backbone),
        "forward",
        lambda self, ids, packing: torch.full((len(ids), width), 1e3).half(),
    )
    ids = torch.arange(100)
    loss = network.total_loss(ids, Packing.of_lengths([100]), torch.where(ids < 3, ids, -100))
    assert torch.isfinite(loss)


def test_an_export_is_a_causal_language_model_of_transformers(run: Path, tmp_path: Path) -> None:
    """AutoModelForCausalLM gives the scores of the packed forward pass of sltk."""
    export(run, tmp_path / "exported")
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "exported", dtype=torch.float32).eval()
    network = sltk.load(run).model.network
    ids = torch.arange(10, 20)
    with torch.inference_mode():
        ours = network.scores(network.backbone(ids, Packing.of_lengths([10])))
        assert torch.allclose(stock(input_ids=ids[None]).logits[0], ours, atol=1e-4)


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    """Interrupted after an update and resumed, a run ends bit for bit like an uninterrupted one.

    The examples of each training prompt are drawn again; those of prediction are stored with the model.
    """

    class FailingProgress(tiny.RecordingProgress):
        def step(self, done: int, words: int) -> None:
            if done == 4:
                raise RunError("interrupted")

    examples = {"shots": 2, "draw": "per_sentence", "loss": "responses"}
    settings = spec(examples, trainer={"save_every": 2}, backbone=lora())
    sltk.train(settings, tmp_path / "whole")
    with pytest.raises(RunError, match="interrupted"):
        sltk.train(settings, tmp_path / "run", progress=FailingProgress())
    sltk.train(settings, tmp_path / "run", resume=True)
    assert tiny.same_weights(tmp_path / "whole", tmp_path / "run")
    stored, experiment = sltk.load(tmp_path / "run").model, loading.load(settings).spec
    training = load_splits(experiment.data, "IOB2")["train"].sentences
    assert stored.spec == experiment.instruct
    assert stored.prompter.shots == draw_shots(training, stored.spec, experiment.seed)


def test_fully_trained_and_quantized_models_are_saved_and_loaded(tmp_path: Path) -> None:
    """Full fine-tuning and adapters on a quantized base give the same tags after loading."""
    quantized = lora(quantization={"type": "nf4"})
    for name, backbone in (("whole", spec()["backbone"]), ("quantized", quantized)):
        sltk.train(spec(trainer={"epochs": 1}, backbone=backbone), tmp_path / name)
        tags = [
            line.split("\t")[-1]
            for line in (tmp_path / name / "predictions/test.conll").read_text().splitlines()
            if line
        ]
        predictions = evaluate(tmp_path / name).predictions
        assert [tag for prediction in predictions for tag in prediction.tags] == tags
    progress = tiny.RecordingProgress()
    export(tmp_path / "quantized", tmp_path / "exported", progress)
    assert progress.has_note("(nf4) and its export is not: probabilities of the next token differ by at most")


def test_a_frozen_model_is_prompted_without_training(tmp_path: Path) -> None:
    """The prompts contain examples of the training data, also after loading."""
    progress = tiny.RecordingProgress()
    settings = spec({"shots": 2}, backbone={**spec()["backbone"], "freeze": True})
    metrics = sltk.train(settings, tmp_path / "run", progress=progress)
    assert (metrics["train"]["steps"], metrics["train"]["trained_parameters"]) == (0, 0)
    assert "every weight is frozen: the model is used without training" in progress.notes
    again = sltk.load(tmp_path / "run").model.prompter
    assert len(again.shots) == 2
    assert again.prompt(["x"]).count("### Sentence:") == 3


@pytest.mark.parametrize("loss", ["response", "all"])
def test_a_packed_batch_has_the_loss_of_its_samples(loss: str) -> None:
    """The loss of a packed batch is that of transformers' model on one sample at a time."""
    subject = model(loss=loss)
    samples = subject.encoder.samples(list(annotated_sentences()))
    whole, network = subject.network.backbone.language_model, subject.network.eval()
    with torch.inference_mode():
        together = float(network(**pack_prompts(samples))["loss"])
        with attending_with_cache(network):
            losses = []
            for sample in samples:
                ids = torch.tensor([sample.ids])
                scores = whole(input_ids=ids, use_cache=False).logits[0, sample.learned_from - 1 : -1]
                labels = ids[0, sample.learned_from :]
                losses.append(torch.nn.functional.cross_entropy(scores, labels, reduction="none"))
    assert together == pytest.approx(float(torch.cat(losses).mean()), rel=1e-4)
    learned = sum(len(each) for each in losses)
    assert learned == (sum(len(s.ids) - 1 for s in samples) if loss == "all" else learned)


def annotated_sentences() -> Any:
    return load_splits(loading.load(spec()).spec.data, "IOB2")["train"].sentences[:5]


def test_a_sample_without_loss_has_no_labels() -> None:
    """A process that has no samples left still computes a forward pass."""
    batch = pack_prompts([without_loss(PromptSample([5, 6, 7], 1, 3))])
    assert batch["labels"].tolist() == [-100, -100, -100]
    assert batch["ids_T"].tolist() == [5, 6, 7]
    assert pack_prompts([PromptSample([5, 6, 7], 2)])["labels"].tolist() == [-100, 7, -100]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_cache_and_left_padding_do_not_change_scores(family: str) -> None:
    """Rows of different lengths, padded and with a cache, have the scores of the packed forward pass."""
    shape = {**tiny.LLAMA, **FAMILIES[family], "model_type": family, "vocab_size": 300, "pad_token_id": 0}
    shape["max_position_embeddings"] = 64
    experiment = loading.load(spec(backbone=tiny.backbone(config=shape, unmask="none"))).spec
    subject = instruct_type.build(
        experiment.model_copy(update={"max_length": None}),
        load_splits(experiment.data, "IOB2")["train"],
    )
    assert prove(subject.network) < 1e-4
    rows = [list(range(3, 3 + length)) for length in (9, 14, 4)]
    network = subject.network
    whole = network.backbone.language_model
    with torch.inference_mode():
        vectors = network.eval().backbone(
            torch.tensor([*rows[0], *rows[1], *rows[2]]), Packing.of_lengths([9, 14, 4])
        )
        packed = network.scores(vectors[[8, 22, 26]])
        with attending_with_cache(network):
            ids, mask = left_padded(rows, 0, torch.device("cpu"))
            padded = forward(network, ids, mask, DynamicCache(config=whole.config))
    assert torch.allclose(packed, padded, atol=1e-4)


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("sampling", [None, Sampling()])
def test_responses_do_not_depend_on_the_batch(constrained: bool, sampling: Sampling | None) -> None:
    """Greedy, sampled and constrained decoding give the same responses for any batch size."""
    subject = model(constrained=constrained, **({"sampling": sampling.model_dump()} if sampling else {}))
    kind = instruct_type
    together = response_texts(kind.predict(subject, sentences(), 100_000, 2048, Progress()))
    alone = response_texts(kind.predict(subject, sentences(), 1, 3, Progress()))
    assert together == alone
    assert len(set(together)) > 1


def test_the_shared_prefix_does_not_change_responses() -> None:
    """Responses are the same whether the prefix of the prompts is computed once or for each prompt."""
    subject = model()
    prompts = subject.encoder.prompts(sentences(6))
    assert len(subject.encoder.prefix) > 10
    assert all(ids[: len(subject.encoder.prefix)] == subject.encoder.prefix for ids in prompts)
    requests = [Request(ids, 12) for ids in prompts]
    sharing = Generator(subject.network, subject.encoder.end, subject.encoder.prefix)
    plain = Generator(subject.network, subject.encoder.end)
    assert sharing.generate(requests) == plain.generate(requests)


@pytest.mark.parametrize("limit", [2, 9, 24])
def test_constrained_responses_are_parsed_completely_for_any_model(limit: int) -> None:
    """With random weights and sampling, no piece is malformed, unknown, unmatched or cut, for any limit."""
    subject = model(constrained=True, sampling={"temperature": 5.0, "top_p": 1.0}, max_response=limit)
    unusual = [
        Sentence(words) for words in (["a;b", "c"], ["10:30", ":"], ["é", "日本", "</s>"], [], ["x y"])
    ]
    predictions = list(instruct_type.predict(subject, [*sentences(), *unusual], 4096, 2048, Progress()))
    responses = [each.response for each in predictions if each.response is not None]
    assert len(responses) == 16
    for response in responses:
        assert (response.malformed, response.unknown_type, response.unmatched, response.is_cut) == (
            0,
            0,
            0,
            False,
        )
    if limit == 24:
        assert sum(response.pieces for response in responses) > 3
    assert all(len(each.spans) == (each.response.pieces if each.response else 0) for each in predictions)


def test_the_constraint_works_in_generate_of_transformers() -> None:
    """`SpanConstraint` is a LogitsProcessor."""
    subject = model(constrained=True)
    words = ["cold", "soup"]
    prompt = torch.tensor(subject.encoder.prompts([Sentence(words)]))
    automaton = Automaton(words, OPTIONS.values())
    response = ConstrainedResponse(automaton, subject.vocabulary, subject.encoder.end, 24)
    with attending_with_cache(subject.network):
        torch.manual_seed(1)
        out = subject.network.backbone.language_model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=True, max_new_tokens=24, use_cache=True,
            pad_token_id=0, eos_token_id=subject.encoder.end, temperature=3.0,
            logits_processor=[SpanConstraint([response])],
        )  # fmt: skip
    text = subject.encoder.text(out[0, prompt.shape[1] :].tolist())
    assert all(piece.rpartition(":")[2] in OPTIONS.values() for piece in text.split(";") if piece)


def test_a_cut_response_is_counted() -> None:
    """Without a constraint, an untrained model reaches the limit."""
    predictions = list(instruct_type.predict(model(max_response=3), sentences(3), 4096, 2048, Progress()))
    assert all(each.response is not None and each.response.is_cut for each in predictions)


def test_a_prompt_longer_than_the_model_is_an_error_before_training(tmp_path: Path) -> None:
    """The error names the sentence and the limit, for training and for scoring; nothing is written."""
    with pytest.raises(DataError, match=r"subwords; the model reads 40"):
        sltk.train(spec(max_length=40), tmp_path / "run")
    assert not (tmp_path / "run" / "spec.yaml").exists()
    predictions = instruct_type.predict(model(), [Sentence(["soup"] * 600)], 4096, 2048, Progress())
    with pytest.raises(DataError, match="the prompt of this sentence has"):
        list(predictions)


def test_a_type_without_an_option_is_an_error_before_training(tmp_path: Path) -> None:
    """The error names the type."""
    with pytest.raises(SpecError, match=r"the type `neutral` of train has no option"):
        sltk.train(spec({"options": {"positive": "good", "negative": "bad"}}), tmp_path / "run")


def test_weights_without_an_output_embedding_are_rejected(tmp_path: Path) -> None:
    """A base model without output embedding would have random scores."""
    base = tiny.save_base(tmp_path / "base", {**tiny.LLAMA, "max_position_embeddings": 512})
    with pytest.raises(ModelError, match="missing"):
        sltk.train(spec(backbone={"type": "decoder", "name": str(base)}), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": {"type": "linear"}}, "`head` is for `type: tagger`"),
        ({"aligner": {"type": "mean"}}, "`aligner` is for `type: tagger`"),
        ({"on_overflow": "error"}, "`on_overflow` is for `type: tagger`"),
        ({"instruct": None}, "needs `instruct`"),
        ({"type": "tagger"}, "`instruct` is for `type: instruct`"),
        ({"scheme": "plain"}, "needs a scheme of spans"),
        ({"backbone": tiny.backbone(unmask="01")}, "its blocks must be causal"),
        (
            {"backbone": tiny.backbone(type="encoder", config=tiny.BERT, unmask="all")},
            "only a decoder generates text",
        ),
        ({"instruct": {"instruction": "x", "options": OPTIONS, "shot": 2}}, "unknown key `shot`"),
        ({"metrics": [{"type": "spans", "calibration_bins": 5}]}, "metric `spans` needs probabilities"),
    ],
)
def test_incompatible_settings_are_rejected(changes: dict[str, Any], message: str) -> None:
    """Each type of model has its own keys, and an instruction-tuned model must be causal."""
    with pytest.raises(InvalidSpecError) as caught:
        loading.load({**spec(), **changes})
    assert message in str(caught.value)


def test_batches_may_be_computed_in_any_order() -> None:
    """So several processes can each compute some of them: the responses are the same, also if they are sampled."""
    sampled = model(sampling={"temperature": 1.0})
    sentences = load_splits(loading.load(spec()).spec.data, "IOB2")["validation"].sentences[:4]

    def backwards(function: Any, items: Any) -> Any:
        return [function(item) for item in reversed(list(items))][::-1]

    def responses(apply: Any) -> list[str]:
        found = kinds.type_of(sampled).predict(sampled, sentences, 200, 100, Progress(), None, apply)
        return [prediction.response.text for prediction in found if prediction.response]

    expected = responses(map)
    assert responses(backwards) == expected
    assert len(expected) == len(sentences)

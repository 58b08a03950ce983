"""Language modelling before labelling: what is trained on, what comes out, and how labelling starts from it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

import sltk
import tiny
from sltk.errors import InvalidSpecError
from sltk.nn.token_prediction import Block
from sltk.pretraining.corpus import Blocks, write_blocks
from sltk.pretraining.corpus_text import sources, texts
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.pretraining.pretraining_run import Pretraining, build
from sltk.pretraining.snapshots import SnapshotSchedule, snapshots
from sltk.run import pretrain
from sltk.spec import loading

ROBERTA = {**tiny.BERT, "model_type": "roberta", "max_position_embeddings": 40}
SENTENCES = ["the soup was awful .", "our table called the bread plain", "nobody ate it , and nobody paid ."]


def backbone(**changes: Any) -> dict[str, Any]:
    """A fresh two-block encoder, whose mask is what the objective needs."""
    fresh = {
        "type": "encoder",
        "init": "random",
        "config": ROBERTA,
        "tokenizer": {"type": "train", "vocab_size": 300},
    }
    return {**fresh, **changes}


def spec(folder: Path, objective: str = "clm", trainer: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Thirty sentences in blocks of 16: a few updates an epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text("\n".join(SENTENCES * 10), encoding="utf-8")
    whole = {
        "name": "tiny",
        "objective": objective,
        "corpus": {"type": "text", "path": str(folder / "text.txt")},
        "block_size": 16,
        "boundaries": "both",
        "backbone": backbone(),
        "trainer": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, **(trainer or {})},
    }
    return {**whole, **changes}


def adapted(base: Path, folder: Path, **changes: Any) -> Any:
    """LoRA around a model on disk."""
    lora = {"r": 4, "alpha": 8, "dropout": 0.0}
    decoder = {"type": "decoder", "name": str(base), "lora": lora}
    return spec(folder, backbone=decoder, boundaries="none", **changes)


def built(given: Any) -> Pretraining:
    """The untrained model of a spec."""
    wanted = loading.load_as(PretrainSpec, given).spec
    return build(wanted, sources(wanted)["corpus"])


def labelling(backbone: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return tiny.spec({"epochs": 1}, data=tiny.all_splits(), backbone=backbone, **changes)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained decoder with its output layer, as transformers saves one."""
    folder = tiny.save_base(tmp_path_factory.mktemp("base") / "model")
    torch.manual_seed(1)
    settings = AutoModelForCausalLM.from_pretrained(folder).config
    AutoModelForCausalLM.from_config(settings).save_pretrained(folder)
    return folder


FAMILIES: dict[str, dict[str, Any]] = {
    "llama": tiny.LLAMA,
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2},
    "gemma2": {**tiny.LLAMA, "model_type": "gemma2", "head_dim": 16, "num_key_value_heads": 2},
    "granite": {**tiny.LLAMA, "model_type": "granite", "logits_scaling": 4.0},
    "opt": {"model_type": "opt", "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "word_embed_proj_dim": 32},
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_transformers_own_language_model(tmp_path: Path, family: str) -> None:
    """Block by block, the scores scaled and capped as the family does."""
    made = built(spec(tmp_path, backbone=backbone(type="decoder", config=FAMILIES[family])))
    network = made.network.eval()
    ids = torch.randint(5, 60, (3, 16), generator=torch.Generator().manual_seed(0))
    batch = made.objective([Block(row, number) for number, row in enumerate(ids)])
    ours = network(**batch)["loss"]
    made.network.backbone.language_model.set_attn_implementation("eager")
    with torch.no_grad():
        theirs = made.network.backbone.language_model(input_ids=ids, labels=ids).loss
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_masked_language_model_predicts_with_its_own_output_layer(tmp_path: Path) -> None:
    """RoBERTa's loss on what is hidden equals that of transformers."""
    made = built(spec(tmp_path, "mlm"))
    network = made.network.eval()
    ids = torch.randint(5, 60, (3, 16), generator=torch.Generator().manual_seed(0))
    batch = made.objective([Block(row, number) for number, row in enumerate(ids)])
    ours = network(**batch)["loss"]
    made.network.backbone.language_model.set_attn_implementation("eager")
    read, labels = batch["ids_T"].reshape(3, 16), batch["labels"].reshape(3, 16)
    with torch.no_grad():
        theirs = made.network.backbone.language_model(input_ids=read, labels=labels).loss
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_sentences_are_concatenated_and_cut_into_blocks(tmp_path: Path) -> None:
    """Each between its marks, nothing lost but the remainder, which is counted."""
    wanted = loading.load_as(PretrainSpec, spec(tmp_path)).spec
    tokenizer = built(spec(tmp_path)).network.backbone.tokenizer
    account = write_blocks(sources(wanted)["corpus"](), tokenizer, wanted, tmp_path / "corpus")
    blocks = Blocks(tmp_path / "corpus", tokenizer, 16)
    expected = [
        number
        for text in SENTENCES * 10
        for number in (tokenizer.bos_token_id, *tokenizer(text)["input_ids"], tokenizer.eos_token_id)
    ]
    assert [number for block in blocks for number in block.ids.tolist()] == expected[: len(blocks) * 16]
    assert (account.tokens, account.blocks) == (len(expected), len(expected) // 16)
    assert account.dropped_tokens == len(expected) % 16
    assert account.sentences == 30


def test_words_of_annotated_data_are_joined_by_spaces(tmp_path: Path) -> None:
    """With `spacing: single`, or where the reader has no text; `auto` takes the text where there is one."""
    line = {"text": "Soup,  cold", "spans": []}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    found = {}
    for spacing in ("auto", "single", "source"):
        given = spec(tmp_path, corpus={"type": "jsonl", "path": str(tmp_path / "a.jsonl")}, spacing=spacing)
        wanted = loading.load_as(PretrainSpec, given).spec
        found[spacing] = [text for text, _ in texts(sources(wanted)["corpus"](), spacing)]
    assert found == {"auto": ["Soup,  cold"], "single": ["Soup , cold"], "source": ["Soup,  cold"]}


def test_tags_are_left_alone(tmp_path: Path) -> None:
    """Annotated data is text like any other: the corpus of TAPT is the task's own training file."""
    data = {"type": "grammar", "count": 30}
    metrics = pretrain(spec(tmp_path, corpus=data, trainer={"max_steps": 1}), tmp_path / "run")
    assert metrics["corpus"]["sentences"] == 30


def test_a_part_of_the_corpus_can_be_held_out(tmp_path: Path) -> None:
    """As in a run: its sentences are not trained on, whose tokenizer does not see them either."""
    wanted = loading.load_as(
        PretrainSpec, spec(tmp_path, validation={"type": "holdout", "count": 5, "seed": 1})
    ).spec
    read = {name: [sentence.line for sentence in found()] for name, found in sources(wanted).items()}
    assert (len(read["corpus"]), len(read["validation"])) == (25, 5)
    assert sorted(read["corpus"] + read["validation"]) == list(range(1, 31))


def test_a_corpus_smaller_than_a_block_is_refused(tmp_path: Path) -> None:
    """There is nothing to train on, and it is said where the block size stands."""
    (tmp_path / "short.txt").write_text("soup", encoding="utf-8")
    given = spec(tmp_path, corpus={"type": "text", "path": str(tmp_path / "short.txt")})
    with pytest.raises(sltk.DataError, match="fewer than one block of 16"):
        pretrain(given, tmp_path / "run")
    assert not (tmp_path / "run/spec.yaml").exists()


def test_fifteen_percent_are_hidden_by_eighty_ten_ten(tmp_path: Path) -> None:
    """Never a special token; what is hidden depends on the epoch and the block, not on its batch."""
    made = built(spec(tmp_path, "mlm"))
    tokenizer = made.network.backbone.tokenizer
    draw = torch.Generator().manual_seed(3)
    rows = torch.randint(len(tokenizer), (300, 128), generator=draw)
    batch = made.objective([Block(row, number) for number, row in enumerate(rows)])
    chosen = batch["labels"] != -100
    plain = ~torch.isin(rows.flatten(), torch.tensor(tokenizer.all_special_ids))
    assert not (chosen & ~plain).any()
    assert chosen[plain].float().mean() == pytest.approx(0.15, abs=0.01)
    read, true = batch["ids_T"][chosen], rows.flatten()[chosen]
    hidden = read == tokenizer.mask_token_id
    assert hidden.float().mean() == pytest.approx(0.8, abs=0.02)
    assert (read == true).float().mean() == pytest.approx(0.1, abs=0.02)
    assert (read[~hidden] != true[~hidden]).float().mean() == pytest.approx(0.5, abs=0.05)
    alone = made.objective([Block(rows[7], 7)])
    assert torch.equal(alone["ids_T"], batch["ids_T"].reshape(300, 128)[7])
    again = made.objective([Block(rows[7], 7, epoch=1)])
    assert not torch.equal(again["ids_T"], alone["ids_T"])


def test_the_loss_falls_and_perplexity_is_its_exponential(tmp_path: Path) -> None:
    """Both objectives learn three sentences; metrics count tokens and blocks, and the log has every update."""
    for objective, enough in (("clm", 3.0), ("mlm", 5.0)):
        text = {"type": "text", "path": str(tmp_path / objective / "text.txt")}
        given = spec(tmp_path / objective, objective, {"epochs": 6}, validation=text)
        metrics = pretrain(given, tmp_path / objective / "run")
        found = metrics["validation"]
        assert found["loss"] < enough < math.log(300)
        assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
        assert metrics == json.loads((tmp_path / objective / "run/metrics.json").read_text())
        blocks = metrics["corpus"]["blocks"]
        assert metrics["train"]["tokens"] == 6 * blocks * 16
        assert metrics["train"]["steps"] == 6 * math.ceil(blocks / 8)
    names = {path.name for path in (tmp_path / "mlm/run").iterdir()}
    assert names == {"spec.yaml", "environment.json", "log.jsonl", "checkpoints", "model", "metrics.json"}
    proof = json.loads((tmp_path / "mlm/run/environment.json").read_text())["mask_proof"]
    assert proof["unmasked"] == [0, 1]


@pytest.mark.parametrize(("objective", "kind"), [("clm", "decoder"), ("mlm", "encoder")])
def test_transformers_alone_loads_what_was_trained_whole(tmp_path: Path, objective: str, kind: str) -> None:
    """With the same loss: weights, output layer and tokenizer are there."""
    family = tiny.LLAMA if kind == "decoder" else ROBERTA
    pretrain(spec(tmp_path, objective, backbone=backbone(type=kind, config=family)), tmp_path / "run")
    auto = AutoModelForCausalLM if kind == "decoder" else AutoModelForMaskedLM
    model = auto.from_pretrained(tmp_path / "run/model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run/model")
    ids = tokenizer("the soup was awful .", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    assert loss < 5.0 < math.log(300)
    assert tokenizer.mask_token == "<mask>"


@pytest.mark.parametrize(("mask", "column"), [("0111", 11), ("all", 11), ("last:1", 11), ("[1]", 3)])
def test_a_causal_objective_with_unmasked_blocks_is_an_error_that_explains_itself(
    tmp_path: Path, mask: str, column: int
) -> None:
    """File, line and column of the mask (of a list: of its key); what to do instead."""
    path = tmp_path / "leak.yaml"
    path.write_text(
        "name: leak\nobjective: clm\ncorpus: {type: grammar}\n"
        f"backbone:\n  type: decoder\n  name: some/model\n  unmask: {mask}\n"
    )
    with pytest.raises(InvalidSpecError) as caught:
        loading.load_as(PretrainSpec, path)
    (problem,) = caught.value.problems
    assert "leaks the tokens that `objective: clm` predicts" in problem.message
    assert (problem.location.line, problem.location.column) == (7, column)
    assert problem.path == "backbone.unmask"
    assert any("allow_leak: true" in note for note in problem.notes)


@pytest.mark.parametrize("mask", ["00", "none", "first:0", "[]"])
def test_a_causal_objective_runs_without_a_leak_by_default(tmp_path: Path, mask: str) -> None:
    """00 in all of its spellings; and where nothing is said an encoder is causal too."""
    read = json.loads(mask) if mask == "[]" else mask
    given = spec(tmp_path, backbone=backbone(unmask=read))
    assert not any(built(given).network.backbone.flags)
    assert not any(built(spec(tmp_path)).network.backbone.flags)
    assert all(built(spec(tmp_path, "mlm")).network.backbone.flags)


def test_a_leak_that_is_asked_for_is_trained(tmp_path: Path) -> None:
    """The paper's other variant, with the mask of the labelling run."""
    given = spec(tmp_path, trainer={"max_steps": 1}, backbone=backbone(unmask="01"), allow_leak=True)
    pretrain(given, tmp_path / "run")
    described = json.loads((tmp_path / "run/model/pretraining.json").read_text())
    assert described["mask"] == {"unmask": "01", "flags": "01"}


def test_snapshots_are_taken_before_the_first_update_and_at_each_part_of_an_epoch(tmp_path: Path) -> None:
    """Three an epoch over two epochs: seven folders, each with its update, each a model to start from."""
    metrics = pretrain(spec(tmp_path, snapshots=3), tmp_path / "run")
    per_epoch = metrics["train"]["steps"] // 2
    folders = snapshots(tmp_path / "run")
    assert [folder.name for folder in folders] == [f"{number:04d}" for number in range(7)]
    updates = [json.loads((folder / "pretraining.json").read_text())["update"] for folder in folders]
    assert updates == [0, *(math.ceil(part * per_epoch / 3) for part in range(1, 7))]
    last = load_file(tmp_path / "run/steps/0006/model.safetensors")
    model = load_file(tmp_path / "run/model/model.safetensors")
    assert all(torch.equal(last[name], model[name]) for name in model)


def test_every_snapshot_has_one_update(tmp_path: Path) -> None:
    """For any number of updates and parts of an epoch, the last part ends with the epoch."""
    for updates in range(1, 40):
        for parts in range(1, updates + 1):
            schedule = SnapshotSchedule(parts, updates)
            taken = [number for update in range(1, 2 * updates + 1) if (number := schedule.number(update))]
            assert taken == list(range(1, 2 * parts + 1))
            assert schedule.update(parts) == updates


def test_more_snapshots_than_updates_are_refused(tmp_path: Path) -> None:
    """An epoch of a few updates cannot be cut finer."""
    with pytest.raises(sltk.SpecError, match="of this corpus has only 3 updates"):
        pretrain(spec(tmp_path, snapshots=50), tmp_path / "run")


def test_a_gap_between_snapshots_is_an_error(tmp_path: Path) -> None:
    """A sweep over checkpoints must not pass over the one that is missing."""
    pretrain(spec(tmp_path, snapshots=2, trainer={"epochs": 1}), tmp_path / "run")
    (tmp_path / "run/steps/0001").rename(tmp_path / "elsewhere")
    with pytest.raises(sltk.UsageError, match="has gaps: 0001 missing"):
        snapshots(tmp_path / "run")


def test_at_step_0_encoder_and_unmasked_decoder_are_one_network(tmp_path: Path) -> None:
    """Untrained weights of both objectives are equal, and so are the scores of labelling runs from them."""
    for objective in ("mlm", "clm"):
        pretrain(
            spec(tmp_path / objective, objective, {"max_steps": None, "epochs": 0.4}, snapshots=1),
            tmp_path / objective / "run",
        )
    scores = {}
    for name, objective, mask in (
        ("encoder", "mlm", "all"), ("decoder unmask", "clm", "all"), ("decoder mask", "clm", "none"),
    ):  # fmt: skip
        start = {"type": "encoder", "name": str(tmp_path / objective / "run/steps/0000"), "unmask": mask}
        metrics = sltk.train(labelling(start), tmp_path / name)
        scores[name] = metrics["train"]["loss"], metrics["test"]
    assert tiny.same_weights(tmp_path / "encoder", tmp_path / "decoder unmask")
    assert scores["encoder"] == scores["decoder unmask"]
    assert scores["encoder"][0] != scores["decoder mask"][0]


@pytest.mark.parametrize("objective", ["clm", "mlm"])
def test_a_killed_run_goes_on_and_ends_in_the_same_weights(tmp_path: Path, objective: str) -> None:
    """Interrupted in the middle of an epoch and again; snapshots and log are those of a run in one piece."""

    given = spec(tmp_path, objective, {"save_every": 2, "batch_size": 4}, snapshots=2)
    pretrain(given, tmp_path / "whole")
    for number, at in enumerate((3, 7)):
        with pytest.raises(KeyboardInterrupt):
            pretrain(given, tmp_path / "run", resume=number > 0, progress=tiny.InterruptingProgress(at))
    pretrain(given, tmp_path / "run", resume=True)
    for folder in ("model", *(f"steps/{path.name}" for path in snapshots(tmp_path / "whole"))):
        ours = load_file(tmp_path / "run" / folder / "model.safetensors")
        theirs = load_file(tmp_path / "whole" / folder / "model.safetensors")
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), folder
    assert not (tmp_path / "run/corpus").exists()


def begun(base: Path, folder: Path) -> Any:
    """The spec of a run whose tokenizer is that of `base`, trained in `folder/run` up to its third update."""
    model = {"type": "decoder", "name": str(base)}
    given = spec(folder, trainer={"save_every": 2}, backbone=model, boundaries="none")
    with pytest.raises(KeyboardInterrupt):
        pretrain(given, folder / "run", progress=tiny.InterruptingProgress(3))
    return given


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewritten(folder: Path, text: str) -> Path:
    (folder / "text.txt").write_text(text, encoding="utf-8")
    return folder / "text.txt"


OTHER = "\n".join(["soup and bread and soup again", "they paid for nothing at all ."] * 15)


def test_a_run_that_is_refused_leaves_the_one_that_it_was_to_replace(base: Path, tmp_path: Path) -> None:
    """`--force` of a spec that does not work changes no byte, and the interrupted run goes on as its own."""
    given = begun(base, tmp_path)
    before = contents(tmp_path / "run")
    (tmp_path / "other.txt").write_text(OTHER, encoding="utf-8")
    other = {**given, "corpus": {"type": "text", "path": str(tmp_path / "other.txt")}}
    with pytest.raises(sltk.SpecError, match=r"has only .* updates"):
        pretrain({**other, "snapshots": 5000}, tmp_path / "run", force=True)
    with pytest.raises(sltk.DataError, match="fewer than one block"):
        pretrain({**other, "block_size": 2000}, tmp_path / "run", force=True)
    assert contents(tmp_path / "run") == before
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "spec.yaml", "environment.json", "log.jsonl", "checkpoints", "corpus"
    }  # fmt: skip
    resumed = pretrain(given, tmp_path / "run", resume=True)
    assert resumed["corpus"] == pretrain(given, tmp_path / "whole")["corpus"]
    assert tiny.same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_run_that_is_accepted_replaces_the_text_too(base: Path, tmp_path: Path) -> None:
    """Nothing of the run that was there is left, not its validation text either."""
    given = begun(base, tmp_path)
    (tmp_path / "run/corpus/validation").mkdir()
    rewritten(tmp_path, OTHER)
    with pytest.raises(KeyboardInterrupt):
        pretrain(given, tmp_path / "run", force=True, progress=tiny.InterruptingProgress(3))
    assert [path.name for path in (tmp_path / "run/corpus").iterdir()] == ["corpus"]
    pretrain(given, tmp_path / "run", resume=True)
    pretrain(given, tmp_path / "whole")
    assert tiny.same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_resumed_run_believes_no_text_that_was_written_for_another(base: Path, tmp_path: Path) -> None:
    """Neither that of another spec nor that of another tokenizer: its own is read again."""
    given = begun(base, tmp_path)
    pretrain(given, tmp_path / "whole")
    (tmp_path / "other.txt").write_text(OTHER, encoding="utf-8")
    for change in (
        {"corpus": {"type": "text", "path": str(tmp_path / "other.txt")}},
        {"backbone": backbone(type="decoder", config=tiny.LLAMA)},
    ):
        wanted = loading.load_as(PretrainSpec, {**given, **change}).spec
        tokenizer = built({**given, **change}).network.backbone.tokenizer
        write_blocks(sources(wanted)["corpus"](), tokenizer, wanted, tmp_path / "run/corpus/corpus")
        heard = tiny.InterruptingProgress(5)
        with pytest.raises(KeyboardInterrupt):
            pretrain(given, tmp_path / "run", resume=True, progress=heard)
        assert any(note.startswith("corpus: 30 sentences") for note in heard.notes)
    pretrain(given, tmp_path / "run", resume=True)
    assert tiny.same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_resumed_run_goes_on_with_the_text_it_began_with(base: Path, tmp_path: Path) -> None:
    """That lies in its directory, whatever became of the file. Without it, another text is refused."""
    given = begun(base, tmp_path)
    pretrain(given, tmp_path / "whole")
    rewritten(tmp_path, OTHER)
    shutil.copytree(tmp_path / "run", tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare/corpus")
    before = contents(tmp_path / "bare")
    with pytest.raises(
        sltk.UsageError, match=r"corpus: 30 sentences, .* tokens when the run began, 30 sentences,"
    ):
        pretrain(given, tmp_path / "bare", resume=True)
    assert contents(tmp_path / "bare") == before
    pretrain(given, tmp_path / "run", resume=True)
    assert tiny.same_weights(tmp_path / "run", tmp_path / "whole")


def test_another_text_is_refused_where_the_tokenizer_is_trained_on_it(tmp_path: Path) -> None:
    """The text in the run's directory is in the numbers of a tokenizer that cannot be had again."""
    given = spec(tmp_path, trainer={"save_every": 2})
    with pytest.raises(KeyboardInterrupt):
        pretrain(given, tmp_path / "run", progress=tiny.InterruptingProgress(3))
    rewritten(tmp_path, OTHER)
    with pytest.raises(sltk.UsageError, match="holds a run that started on other data"):
        pretrain(given, tmp_path / "run", resume=True)


def test_the_text_of_a_run_killed_as_it_finished_is_removed(tmp_path: Path) -> None:
    """`--resume` of a finished run trains nothing and leaves no text behind."""
    given = spec(tmp_path, trainer={"max_steps": 1})
    metrics = pretrain(given, tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    for name in ("corpus", ".corpus.partial-next"):
        (tmp_path / "run" / name / "corpus").mkdir(parents=True)
    assert pretrain(given, tmp_path / "run", resume=True) == metrics
    assert {path.name for path in (tmp_path / "run").iterdir()} == names


def test_an_adapter_is_trained_and_labelling_starts_from_it(base: Path, tmp_path: Path) -> None:
    """TAPT with LoRA: the base stays as it was, and the labelling run begins with the adapter's very weights."""
    metrics = pretrain(adapted(base, tmp_path), tmp_path / "tapt")
    assert metrics["train"]["trained_parameters"] == 2 * 2 * 2 * 4 * 32
    trained = load_file(tmp_path / "tapt/model/adapter/adapter_model.safetensors")
    assert any(value.abs().max() > 0 for name, value in trained.items() if "lora_B" in name)
    lora = {"r": 4, "alpha": 8, "dropout": 0.0}
    start = {"type": "decoder", "name": str(base), "unmask": "01", "lora": lora}
    still = {"trainer": {"epochs": 1, "learning_rate": 1e-30}}
    sltk.train(labelling({**start, "adapter": str(tmp_path / "tapt")}) | still, tmp_path / "from_tapt")
    begun = load_file(tmp_path / "from_tapt/model/adapter/adapter_model.safetensors")
    assert begun.keys() == trained.keys()
    assert all(torch.equal(begun[name], trained[name]) for name in trained)
    again = sltk.load(tmp_path / "from_tapt")  # needs the adapter of the run, and no longer that of TAPT
    assert again.predict([["soup"]])[0].words == ["soup"]


def test_training_whole_gives_a_model_to_start_from_by_name(base: Path, tmp_path: Path) -> None:
    """`backbone.name: RUN/model`."""
    pretrain(spec(tmp_path, backbone={"type": "decoder", "name": str(base)}), tmp_path / "tapt")
    start = {"type": "decoder", "name": str(tmp_path / "tapt/model"), "unmask": "01"}
    metrics = sltk.train(labelling(start), tmp_path / "run")
    assert metrics["test"]["support"] > 0


ADAPTER_FAULTS = {
    "another base": ({}, "is for another base model: it was trained on"),
    "another rank": ({"r": 8}, "r: the adapter has 4, `lora` has 8"),
    "other layers": ({"target_modules": ["k_proj"]}, "`lora` has ['k_proj']"),
}


@pytest.mark.parametrize("fault", ADAPTER_FAULTS)
def test_an_adapter_that_does_not_fit_is_a_clear_error(base: Path, tmp_path: Path, fault: str) -> None:
    """Another base model of the same shape, another rank, other layers: nothing is trained."""
    pretrain(adapted(base, tmp_path, trainer={"max_steps": 1}), tmp_path / "tapt")
    changes, message = ADAPTER_FAULTS[fault]
    name = tiny.save_base(tmp_path / "other", seed=5) if fault == "another base" else base
    lora = {"r": 4, "alpha": 8, **changes}
    start = {"type": "decoder", "name": str(name), "lora": lora, "adapter": str(tmp_path / "tapt")}
    with pytest.raises(sltk.ModelError) as caught:
        sltk.train(labelling(start), tmp_path / "run")
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_adapter_of_another_shape_is_another_base(base: Path, tmp_path: Path) -> None:
    """Even where nothing says which base it was: only what peft itself wrote."""
    pretrain(adapted(base, tmp_path, trainer={"max_steps": 1}), tmp_path / "tapt")
    (tmp_path / "tapt/model/pretraining.json").unlink()
    wide = tiny.save_base(tmp_path / "wide", {**tiny.LLAMA, "hidden_size": 64})
    start = {"type": "decoder", "name": str(wide), "lora": {"r": 4, "alpha": 8}}
    with pytest.raises(sltk.ModelError, match="its weights do not fit"):
        sltk.train(labelling({**start, "adapter": str(tmp_path / "tapt/model/adapter")}), tmp_path / "run")


def test_what_holds_no_adapter_is_said(base: Path, tmp_path: Path) -> None:
    """An empty folder; a model that was trained whole; an adapter without `lora`."""
    start = {"type": "decoder", "name": str(base), "lora": {"r": 4}, "adapter": str(tmp_path)}
    with pytest.raises(sltk.ModelError, match="contains no adapter"):
        sltk.train(labelling(start), tmp_path / "run")
    with pytest.raises(sltk.ModelError, match="contains a fully trained model"):
        sltk.train(labelling({**start, "adapter": str(base)}), tmp_path / "run")
    with pytest.raises(sltk.SpecError, match="`adapter` needs `lora`"):
        sltk.train(labelling({**start, "lora": None}), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer": {"select": "best"}}, "pre-training keeps the last model"),
        ({"trainer": {"early_stopping": 1}}, "pre-training runs to its end"),
        ({"trainer": {"max_steps": 2}, "snapshots": 1}, "leave out `max_steps`"),
        ({"backbone": backbone(freeze=True)}, "leaves nothing to train"),
        ({"backbone": backbone(lora={"r": 2})}, "fresh weights are trained whole"),
        ({"name": "a/b"}, "cannot name a run directory"),
    ],
)
def test_what_pre_training_cannot_do_is_said_before_it_starts(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """All of it is in the spec."""
    with pytest.raises(InvalidSpecError, match=message):
        pretrain({**spec(tmp_path), **changes}, tmp_path / "run")


def test_a_block_longer_than_the_model_reads_is_refused(tmp_path: Path) -> None:
    """40 positions, two of them before the first: blocks of 39 do not fit."""
    with pytest.raises(sltk.SpecError, match="the model reads 38 tokens at once, and a block has 39"):
        pretrain(spec(tmp_path, block_size=39), tmp_path / "run")


def test_mlm_without_a_mask_token_is_refused(base: Path, tmp_path: Path) -> None:
    """A decoder's tokenizer has none."""
    given = spec(tmp_path, "mlm", backbone={"type": "decoder", "name": str(base), "unmask": "all"})
    with pytest.raises(sltk.ModelError, match="needs a tokenizer with a mask token"):
        pretrain(given, tmp_path / "run")

"""Damaged, incomplete and tampered model folders are refused with an error that names the file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import damage
import sltk
import tiny
from sltk.cli import main
from sltk.components.backbones import base_weights
from sltk.exporting import export
from sltk.files import file_digests, manifest

TEXT = "The soup was awful and the bread was excellent ."
OTHER = "soup bread nobody plain"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_base(tmp_path_factory.mktemp("base") / "tiny-base")


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run that trained all weights, and one that trained adapters."""
    folder = tmp_path_factory.mktemp("runs")
    lora = {"type": "decoder", "name": str(base), "unmask": "01", "lora": {"r": 4}}
    sltk.train(tiny.spec({"epochs": 1}, data=tiny.all_splits()), folder / "whole")
    sltk.train(tiny.spec({"epochs": 1}, backbone=lora), folder / "lora")
    return {"whole": folder / "whole", "lora": folder / "lora"}


@pytest.fixture
def copy(trained: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """Copies a run; without its manifest, it is like a run of an earlier version."""

    def copy_run(kind: str = "whole", *, with_manifest: bool = False) -> Path:
        run = Path(shutil.copytree(trained[kind], tmp_path / "copy"))
        if not with_manifest:
            (run / "model" / manifest.NAME).unlink()
        return run

    return copy_run


def scores(run: Path) -> list[Any]:
    return [prediction.scores for prediction in sltk.load(run).predict([TEXT])]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "lora"])
@pytest.mark.parametrize("with_manifest", [True, False], ids=["manifest", "no manifest"])
@pytest.mark.parametrize("name", damage.DAMAGE)
def test_any_damage_to_any_file_is_an_error_that_names_it(
    trained: dict[str, Path], tmp_path: Path, kind: str, with_manifest: bool, name: str
) -> None:
    """Without a manifest, a file that is not needed may be damaged, and a flipped bit cannot be seen."""
    before = scores(trained[kind])
    for file in damage.files(trained[kind] / "model"):
        run = Path(shutil.copytree(trained[kind], tmp_path / file.replace("/", "-")))
        if not with_manifest:
            (run / "model" / manifest.NAME).unlink()
            if file == manifest.NAME:
                continue
        damage.DAMAGE[name](run / "model" / file)
        error, after = None, None
        try:
            after = scores(run)
        except sltk.InputError as raised:
            error = str(raised)
        if error is not None:
            assert Path(file).name in error
            continue
        if with_manifest:
            assert (file, name) == (manifest.NAME, "deleted")
        assert after == before or (not with_manifest and name == "bit flipped")
        assert file.startswith("tokenizer/") or file.endswith((".md", manifest.NAME)) or name == "bit flipped"


@pytest.mark.parametrize("command", ["predict", "evaluate", "export"])
def test_every_command_that_loads_a_model_verifies_it(
    copy: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """A flipped bit ends the command with exit code 2 and the name of the file."""
    run = copy(with_manifest=True)
    damage.DAMAGE["bit flipped"](run / "model/head.safetensors")
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    others = {"predict": [str(text)], "evaluate": [], "export": [str(tmp_path / "exported")]}
    assert main([command, str(run), *others[command]]) == 2
    printed = capsys.readouterr().err
    assert "its content is not what was saved" in printed
    assert "head.safetensors" in printed


def test_a_model_without_a_manifest_is_loaded_with_a_warning(copy: Callable[..., Path]) -> None:
    """Models of earlier versions stay usable."""
    progress = tiny.RecordingProgress()
    sltk.load(copy(), progress=progress)
    assert progress.has_note("has no manifest.json")


def test_a_manifest_has_the_step_and_a_digest_of_the_spec(trained: dict[str, Path], tmp_path: Path) -> None:
    """Equal specs have equal digests; an export keeps both."""
    about = manifest.read(trained["whole"] / "model")
    assert about.keys() == {"step", "spec"}
    assert about["step"] == 3
    assert about["spec"] != manifest.read(trained["lora"] / "model")["spec"]
    sltk.train(tiny.spec({"epochs": 1}, data=tiny.all_splits()), tmp_path / "again")
    assert manifest.read(tmp_path / "again/model") == about
    export(trained["whole"], tmp_path / "exported")
    assert manifest.read(tmp_path / "exported") == about


def test_an_export_may_gain_a_readme_but_no_file_that_is_read(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    """A file that a library would look for changes what is loaded."""
    export(trained["whole"], tmp_path / "exported")
    (tmp_path / "exported/README.md").write_text("# My model")
    (tmp_path / "exported/LICENSE.txt").write_text("free")
    assert scores(tmp_path / "exported") == scores(trained["whole"])
    for name in ("tokenizer/added_tokens.json", "imports/new.py", "pytorch_model.bin"):
        path = tmp_path / "exported" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        with pytest.raises(sltk.UsageError, match="added after manifest"):
            sltk.load(tmp_path / "exported")
        path.unlink()


@pytest.mark.parametrize("kind", ["folder", "pipe", "broken link"])
def test_something_else_in_place_of_the_description_of_an_export_is_named(
    trained: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """The folder is not taken for a run directory, and nothing waits."""
    export(trained["whole"], tmp_path / "exported")
    damage.DAMAGE[kind](tmp_path / "exported/sltk.json")
    with pytest.raises(sltk.InputError, match=r"sltk\.json"):
        sltk.load(tmp_path / "exported")


def test_hidden_folders_are_not_read(copy: Callable[..., Path]) -> None:
    """A clone of a repository has a folder `.git`, which may have a socket and any files."""
    run = copy(with_manifest=True)
    (run / "model/.git").mkdir()
    (run / "model/.git/hook.py").write_text("")
    os.mkfifo(run / "model/.git/daemon")
    sltk.load(run)


def test_a_manifest_of_another_program_is_ignored(tmp_path: Path) -> None:
    """Only base models can have one: a folder that sltk wrote has its own."""
    base = tiny.save_base(tmp_path / "base")
    (base / "manifest.json").write_text('{"name": "web app"}')
    backbone = {"type": "decoder", "name": str(base), "freeze": True}
    sltk.train(tiny.spec({"max_steps": 1}, backbone=backbone), tmp_path / "run")
    (base / "manifest.json").write_text('{"format": 1, "files"')
    with pytest.raises(sltk.InputError, match=r"manifest\.json"):
        sltk.train(tiny.spec({"max_steps": 1}, backbone=backbone), tmp_path / "again")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "deep JSON", "emptied", "a list"])
@pytest.mark.parametrize("command", [["check", "--data"], ["train"]])
def test_a_damaged_base_model_is_named_and_nothing_waits(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str, command: list[str]
) -> None:
    """Both commands end with exit code 2, except that `check` does not read all files."""
    copied = Path(shutil.copytree(base, tmp_path / "base"))
    damage.DAMAGE[kind](copied / name)
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: x\ndata: {train: {type: grammar, count: 8}}\n"
        f"backbone: {{type: decoder, name: {copied}, freeze: true}}\ntrainer: {{max_steps: 1}}\n"
    )
    output = ["--output", str(tmp_path / "run")] if command == ["train"] else []
    code = main([*command, str(spec), *output])
    error = capsys.readouterr().err
    assert "this is a bug" not in error
    assert code == 2 or command != ["train"]
    assert code == 0 or name in error or "safetensors" in error


def test_a_file_of_another_model_is_refused(trained: dict[str, Path], copy: Callable[..., Path]) -> None:
    """The tokenizer of another model has the right form, but another digest."""
    run = copy(with_manifest=True)
    damage.swap(run / "model", trained["lora"] / "model", "tokenizer/tokenizer.json")
    with pytest.raises(sltk.UsageError, match=r"bytes were saved|bytes, and|is not what was saved"):
        sltk.load(run)


@pytest.mark.parametrize("entry", ["../outside", "/etc/passwd", ""])
def test_a_manifest_names_only_files_inside_its_folder(copy: Callable[..., Path], entry: str) -> None:
    """A path that leads out of the folder is not opened."""
    path = copy(with_manifest=True) / "model" / manifest.NAME
    content = json.loads(path.read_text())
    content["files"][entry] = {"bytes": 1, "sha256": "0"}
    path.write_text(json.dumps(content))
    with pytest.raises(sltk.UsageError, match=r"its entry .* is not valid"):
        sltk.load(path.parent.parent)


def change_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(str(path))
    change(tensors)
    save_file(tensors, str(path), metadata={"format": "pt"})


def first(tensors: dict[str, torch.Tensor]) -> str:
    return min(tensors)


WEIGHTS: dict[str, tuple[str, str, Callable[[dict[str, torch.Tensor]], Any], str]] = {
    "NaN in the head": (
        "whole", "head.safetensors", lambda t: t[first(t)].fill_(float("nan")), "contains NaN or an infinite value",
    ),
    "infinite base": (
        "whole", "base/model.safetensors", lambda t: t[first(t)].fill_(float("inf")), "contains NaN or an infinite",
    ),
    "NaN in the adapter": (
        "lora", "adapter/adapter_model.safetensors", lambda t: t[first(t)].fill_(float("nan")), "contains NaN",
    ),
    "half an adapter": (
        "lora", "adapter/adapter_model.safetensors", lambda t: [t.pop(name) for name in sorted(t)[::2]], "is missing",
    ),
    "more in an adapter": (
        "lora", "adapter/adapter_model.safetensors", lambda t: t.update(more=torch.ones(2)), "`more` is unknown",
    ),
    "a cut adapter": (
        "lora", "adapter/adapter_model.safetensors",
        lambda t: t.update({first(t): t[first(t)][:1].clone()}), r"the shape \[1",
    ),
    "a cut head": (
        "whole", "head.safetensors", lambda t: t.update({first(t): t[first(t)][:1].clone()}), r"has the shape \[1",
    ),
    "half a head": ("whole", "head.safetensors", lambda t: t.pop(first(t)), "it lacks `head"),
    "more in a head": ("whole", "head.safetensors", lambda t: t.update(more=torch.ones(2)), "unknown weights `more`"),
    "a base without queries": (
        "whole", "base/model.safetensors", lambda t: [t.pop(name) for name in list(t) if "q_proj" in name],
        r"are incomplete: .*q_proj",
    ),
    "a cut base": (
        "whole", "base/model.safetensors", lambda t: t.update({first(t): t[first(t)][:1].clone()}), "cannot load",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_do_not_fit_are_refused_without_a_manifest(copy: Callable[..., Path], case: str) -> None:
    """Names, shapes and values are checked; nothing is drawn at random, repeated or left out."""
    kind, file, change, message = WEIGHTS[case]
    run = copy(kind)
    change_tensors(run / "model" / file, change)
    with pytest.raises(sltk.InputError, match=message):
        sltk.load(run)


def change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


DESCRIPTIONS: dict[str, tuple[str, str, Callable[[dict[str, Any]], Any]]] = {
    "no labels": ("whole", "sltk.json", lambda d: d.pop("labels")),
    "labels are numbers": ("whole", "sltk.json", lambda d: d.update(labels=[1, 2])),
    "labels of another scheme": ("whole", "sltk.json", lambda d: d.update(labels=["O", "X-PER"])),
    "a label twice": ("whole", "sltk.json", lambda d: d.update(labels=["O", "O"])),
    "fewer labels": ("whole", "sltk.json", lambda d: d["labels"].pop()),
    "an unknown scheme": ("whole", "sltk.json", lambda d: d.update(scheme="IOB9")),
    "components missing": ("whole", "sltk.json", lambda d: d.pop("components")),
    "an unknown head": ("whole", "sltk.json", lambda d: d["components"].update(head={"type": "novel"})),
    "no head": ("whole", "sltk.json", lambda d: d["components"].pop("head")),
    "a component is a list": ("whole", "sltk.json", lambda d: d["components"].update(splitter=[])),
    "mask of another length": ("whole", "sltk.json", lambda d: d["mask"].update(flags="0101")),
    "mask is a number": ("whole", "sltk.json", lambda d: d["mask"].update(flags=1)),
    "base is text": ("whole", "sltk.json", lambda d: d.update(base="base")),
    "base elsewhere": ("whole", "sltk.json", lambda d: d.update(base={"path": "../../.."})),
    "a negative length": ("whole", "sltk.json", lambda d: d.update(max_length=-1)),
    "another type": ("whole", "sltk.json", lambda d: d.update(type="novel")),
    "rules are text": ("whole", "sltk.json", lambda d: d.update(transformers={"rules": "none"})),
    "a tagger as instruct": ("whole", "sltk.json", lambda d: d.update(type="instruct")),
    "a huge head": (
        "whole", "sltk.json", lambda d: d["components"].update(head={"type": "mlp", "hidden": [10**11]}),
    ),
    "a huge rank": ("lora", "sltk.json", lambda d: d["components"]["backbone"]["lora"].update(r=10**11)),
    "another scale": ("lora", "sltk.json", lambda d: d["components"]["backbone"]["lora"].update(alpha=99)),
    "another rank in the adapter": ("lora", "adapter/adapter_config.json", lambda d: d.update(r=8)),
    "scales by layer": ("lora", "adapter/adapter_config.json", lambda d: d.update(alpha_pattern={"q_proj": 9})),
    "targets are a pattern": ("lora", "adapter/adapter_config.json", lambda d: d.update(target_modules="(a+)+$")),
    "a target is unknown": ("lora", "adapter/adapter_config.json", lambda d: d.update(target_modules=["novel"])),
    "fewer targets": ("lora", "adapter/adapter_config.json", lambda d: d["target_modules"].pop()),
    "billions of blocks": ("whole", "base/config.json", lambda d: d.update(num_hidden_layers=10**9)),
    "a huge vocabulary": ("whole", "base/config.json", lambda d: d.update(vocab_size=10**12)),
    "a huge width": ("whole", "base/config.json", lambda d: d.update(hidden_size=10**12)),
    "billions of labels": ("whole", "base/config.json", lambda d: d.update(num_labels=10**9)),
    "a larger model": ("whole", "base/config.json", lambda d: d.update(intermediate_size=9000)),
    "one block fewer": ("whole", "base/config.json", lambda d: d.update(num_hidden_layers=1)),
    "one block more": ("whole", "base/config.json", lambda d: d.update(num_hidden_layers=3)),
    "an unknown family": ("whole", "base/config.json", lambda d: d.update(model_type="novel")),
    "code of its own": ("whole", "base/config.json", lambda d: d.update(auto_map={"AutoModel": "m.M"}, model_type="z")),
    "values of a wrong type": ("whole", "base/config.json", lambda d: d.update(hidden_size="wide")),
    "no heads": ("whole", "base/config.json", lambda d: d.update(num_attention_heads=0)),
}  # fmt: skip


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_a_malformed_description_is_an_input_error(copy: Callable[..., Path], case: str) -> None:
    """The error comes before memory is allocated for what the description asks for."""
    kind, file, change = DESCRIPTIONS[case]
    run = copy(kind)
    change_json(run / "model" / file, change)
    with pytest.raises(sltk.InputError):
        sltk.load(run)


def test_a_tokenizer_with_more_tokens_than_the_embedding_is_refused(copy: Callable[..., Path]) -> None:
    """Without a manifest, this is the sign of another model's tokenizer."""
    from sltk.components.backbones.building import train_tokenizer

    run = copy()
    words = [f"{left}{right}" for left in "abcdefghijklm" for right in "nopqrstuvwxyz"]
    train_tokenizer([f" {' '.join(words)}"] * 3, 500).save_pretrained(run / "model/tokenizer")
    with pytest.raises(sltk.InputError, match=r"numbers its tokens up to [\s\S]*tokenizer\.json"):
        sltk.load(run)


def test_an_adapter_is_never_read_from_a_pickle_or_the_hub(copy: Callable[..., Path]) -> None:
    """A missing file is an error, whether or not there is a pickle in its place."""
    run = copy("lora")
    path = run / "model/adapter/adapter_model.safetensors"
    torch.save(load_file(str(path)), path.with_name("adapter_model.bin"))
    path.unlink()
    with pytest.raises(sltk.UsageError, match=r"the file is missing[\s\S]*adapter_model\.safetensors"):
        sltk.load(run)


@pytest.mark.parametrize("lora", [None, {"r": 4}])
def test_a_base_model_without_all_weights_is_refused(tmp_path: Path, lora: dict[str, Any] | None) -> None:
    """transformers would draw the missing ones at random, and train."""
    base = tiny.save_base(tmp_path / "base")
    path = base / "model.safetensors"
    change_tensors(path, lambda t: [t.pop(name) for name in list(t) if "q_proj" in name])
    backbone = {"type": "decoder", "name": str(base), "lora": lora}
    with pytest.raises(sltk.ModelError, match=r"are incomplete: .*q_proj.* and 1 more"):
        sltk.train(tiny.spec(backbone=backbone), tmp_path / "run")


def test_an_encoder_may_lack_a_pooler(tmp_path: Path) -> None:
    """Taggers do not use it, and models with a masked-language-model head have none."""
    base = tiny.save_base(tmp_path / "base", tiny.BERT)
    change_tensors(
        base / "model.safetensors", lambda t: [t.pop(name) for name in list(t) if "pooler" in name]
    )
    backbone = {"type": "encoder", "name": str(base), "lora": {"r": 2}}
    sltk.train(tiny.spec({"max_steps": 1}, backbone=backbone), tmp_path / "run")


def test_an_index_may_not_name_files_elsewhere(tmp_path: Path) -> None:
    """A path in the index of a model in several files could lead to a pipe."""
    base = tiny.save_base(tmp_path / "base")
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../x"}}))
    backbone = {"type": "decoder", "name": str(base), "freeze": True}
    with pytest.raises(sltk.InputError, match="must name files in the same folder"):
        sltk.train(tiny.spec(backbone=backbone), tmp_path / "run")


def test_the_hash_of_a_base_covers_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash of earlier versions covers samples, and is still accepted where it was recorded."""
    monkeypatch.setenv("SLTK_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    content = bytearray(bytes(range(256)) * 2**15)  # 8 MiB, of which 4 MiB are samples
    path = folder / "model.safetensors"
    path.write_bytes(content)
    whole, sampled = base_weights.content_hash(folder), base_weights.sampled_hash(folder)
    assert base_weights.content_hash(folder) == whole  # from the cache
    content[2**17 - 1] ^= 1  # between two samples
    path.write_bytes(content)
    assert base_weights.content_hash(folder) != whole
    assert base_weights.sampled_hash(folder) == sampled
    assert base_weights.locate_base(str(folder), {"name": "x", "content": sampled}) == str(folder)
    with pytest.raises(sltk.ModelError, match="are not those this model was trained on"):
        base_weights.locate_base(str(folder), {"name": "x", "content": whole, "covers": "all"})


def test_a_cached_digest_counts_only_for_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the same size and time of change is read again; a damaged cache costs only time."""
    monkeypatch.setenv("SLTK_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "weights"
    path.write_bytes(b"a" * 2**21)
    file_digests.sha256(path)
    assert not (tmp_path / "cache").exists(), "a file that may still change unseen is read again"
    monkeypatch.setattr(file_digests, "_RESOLUTION", -(10**12))
    before = path.stat()
    assert file_digests.sha256(path) == file_digests.sha256(path) == hashlib.sha256(b"a" * 2**21).hexdigest()
    assert (tmp_path / "cache/digests.json").exists()
    path.write_bytes(b"b" * 2**21)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_digests.sha256(path) == hashlib.sha256(b"b" * 2**21).hexdigest()
    (tmp_path / "cache/digests.json").write_text("{")
    assert file_digests.sha256(path) == hashlib.sha256(b"b" * 2**21).hexdigest()

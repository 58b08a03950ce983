"""Models from GGUF files: converted once, found again by content, and described by `check` from their header."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sltk
import tiny
import tiny_gguf
from conftest import SmallDisk
from sltk.cli import main
from sltk.components.backbones import Decoder, LoRA, Quantization, base_weights, gguf_conversion
from sltk.errors import DiskFullError, ModelError
from sltk.families.gguf_header import BLOCKS, read_gguf
from sltk.families.gguf_shape import shape_of_gguf
from sltk.files import locking, manifest
from sltk.nn.backbone import BuildContext
from sltk.preview.model_info import ModelInfo
from sltk.runtime.progress import reporting_to

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def original(gguf_library: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for these tests alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLTK_CACHE", str(folder))
        yield folder


@pytest.fixture
def model(original: Path, tmp_path: Path) -> Path:
    """The GGUF file in a folder of its own."""
    return Path(shutil.copy(original, tmp_path / "tiny.gguf"))


def build(model: Path, language_model: bool = False, **changes: Any) -> tuple[Any, list[str]]:
    """The backbone, and the notes about it."""
    progress = tiny.RecordingProgress()
    with reporting_to(progress):
        backbone = Decoder(name=str(model), unmask="01", **changes).build(
            BuildContext(CPU, 0, language_model=language_model)
        )
    return backbone, progress.notes


def test_the_converted_model_is_what_transformers_reads(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same weights, bit for bit, and the same subwords; the file is parsed once at the first start, then never."""
    import gguf
    from transformers import AutoModel, AutoTokenizer

    names = {"pretrained_model_name_or_path": str(model.parent), "gguf_file": model.name}
    expected = AutoModel.from_pretrained(**names, dtype=torch.float32).state_dict()
    tokenizer = AutoTokenizer.from_pretrained(**names)
    parsed: list[str] = []

    class Counted(gguf.GGUFReader):  # type: ignore[misc]
        def __init__(self, path: Any, *options: Any) -> None:
            parsed.append(path)
            super().__init__(path, *options)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    for count in (1, 1):
        backbone, notes = build(model)
        assert len(parsed) == count
        actual = backbone.model.state_dict()
        assert actual.keys() == expected.keys()
        assert all(torch.equal(actual[name], expected[name]) for name in expected)
        assert backbone.tokenizer("Vera forgot the pasta!") == tokenizer("Vera forgot the pasta!")
    assert not notes
    assert gguf.GGUFReader is Counted


def test_a_file_in_name_is_a_directory_and_a_file(model: Path) -> None:
    """`name: DIR/x.gguf` is `name: DIR` with `gguf_file: x.gguf`."""
    spec = Decoder(name=str(model))
    assert (spec.name, spec.gguf_file) == (str(model.parent), "tiny.gguf")
    assert spec == Decoder(name=str(model.parent), gguf_file="tiny.gguf")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("name: tiny.gguf", "`./tiny.gguf`"),
        ("name: user/tiny.gguf", "needs `name` and `gguf_file`"),
        ("name: ./tiny.gguf, gguf_file: tiny.gguf", "leave out `gguf_file`"),
        ("name: ./tinny.gguf", "did you mean `tiny.gguf`?"),
        ("name: ., gguf_file: tiny", "GGUF files there: "),
        ("gguf_file: tiny.gguf", "needs `name`"),
        ("name: ./spec.yaml.gguf", "it is not a GGUF file"),
        ("name: ./tiny.gguf, lora: {target_modules: [v_prj]}", "did you mean `v_proj`?"),
        ("name: ./tiny.gguf, unmask: '011'", "at least 3 blocks"),
    ],
)
def test_keys_that_do_not_name_a_model(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keys: str, message: str
) -> None:
    """`check` reports what cannot be loaded, or does not fit the model in the file, with exit code 2."""
    monkeypatch.chdir(model.parent)
    Path("spec.yaml.gguf").write_text("name: a")
    unmask = "" if "unmask" in keys else ", unmask: '01'"
    Path("spec.yaml").write_text(
        f"name: a\ndata: {{train: {{type: grammar, count: 4}}}}\nbackbone: {{type: decoder, {keys}{unmask}}}\n"
    )
    assert main(["check", "spec.yaml"]) == 2
    assert message in capsys.readouterr().err


CHECK = """
import json, sys
from sltk.cli import main
assert main(["check", "spec.yaml", "--json"]) == 0
assert not {"torch", "transformers", "gguf", "numpy"} & sys.modules.keys(), sys.modules.keys()
"""


def test_check_reads_the_header(model: Path) -> None:
    """Family, blocks, parameters and memory are those of the same model as safetensors, and no library is imported."""
    backbone, _ = build(model)
    backbone.model.save_pretrained(model.parent / "plain")
    estimates = []
    for name in ("tiny.gguf", "plain"):
        (model.parent / "spec.yaml").write_text(
            "name: a\ndata: {train: {type: grammar, count: 4}}\n"
            f"backbone: {{type: decoder, name: ./{name}, unmask: '01', lora: {{r: 2}}}}\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(
            [sys.executable, "-c", CHECK], cwd=model.parent, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        estimates.append(json.loads(done.stdout)["estimate"])
    converted, plain = ({key: value for key, value in each.items() if key != "notes"} for each in estimates)
    assert converted == plain
    assert converted["family"] == "llama"
    assert converted["parameters"] == sum(weight.numel() for weight in backbone.model.parameters())
    assert "converted to safetensors once" in estimates[0]["notes"][0]


def test_a_rehearsal_has_the_family_of_the_file(original: Path) -> None:
    """It is a tiny model of the architecture in the header."""
    from sltk.rehearsal.small_parts import small_backbone

    progress = tiny.RecordingProgress()
    small = small_backbone(Decoder(name=str(original), unmask="01"), progress)
    assert small.config is not None
    assert (small.config["model_type"], small.gguf_file, small.init) == ("llama", None, "random")
    assert not progress.has_note("unknown")


def test_weights_of_a_file_can_be_quantized(model: Path) -> None:
    """The converted weights are quantized like those of any other directory."""
    backbone, _ = build(model, quantization=Quantization(), lora=LoRA(r=2))
    layers = {
        type(module).__name__ for name, module in backbone.model.named_modules() if "base_layer" in name
    }
    assert layers == {"Linear4bit"}


def test_a_language_model_has_its_output_layer(model: Path) -> None:
    """Generating models start from the file too; input and output embedding are one."""
    backbone, _ = build(model, language_model=True)
    output = backbone.language_model.get_output_embeddings().weight
    assert output.data_ptr() == backbone.model.get_input_embeddings().weight.data_ptr()


def test_a_damaged_conversion_is_made_again(model: Path, cache: Path) -> None:
    """A conversion whose files differ from its manifest is not used."""
    build(model)
    (weights,) = (path for path in cache.glob("gguf/*float32*/model.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + b"\x00\x01\x02\x03")
    left = weights.parent.with_name(f".{weights.parent.name}.partial-of-a-killed-process")
    left.mkdir()
    _, notes = build(model)
    assert "is made again" in notes[0]
    assert weights.read_bytes() == content
    assert not left.exists()
    assert not [path for path in cache.glob("gguf/*") if path.name.endswith(".lock")]


@pytest.mark.parametrize("setting", ["off", "file"])
def test_without_a_cache_the_conversion_is_temporary(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """It works as well, and leaves nothing behind."""
    (tmp_path / "file").touch()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("SLTK_CACHE", "off" if setting == "off" else str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    backbone, notes = build(model)
    assert "temporary" in notes[0]
    assert not list((tmp_path / "temporary").iterdir())
    assert all(weight.isfinite().all() for weight in backbone.model.parameters())


def test_a_full_disk_is_an_error_that_names_the_folder(
    model: Path, small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room is compared with the size of the conversion before it begins; nothing is left."""
    monkeypatch.setenv("SLTK_CACHE", str(small_disk.folder))
    with pytest.raises(DiskFullError, match="SLTK_CACHE=DIR"):
        build(model)
    assert not [path for path in small_disk.folder.rglob("*") if path.is_file()]


def test_one_process_converts_and_the_others_wait(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process holds the lock, a process waits, and then uses what the other has made."""
    monkeypatch.setenv("SLTK_CACHE", str(tmp_path / "cache"))
    folder = gguf_conversion.conversion_folder(model, "float32", gguf_conversion.transformers.__version__)
    assert folder is not None
    entered, made = threading.Event(), shutil.copytree

    def convert_elsewhere() -> None:
        with locking.lock(folder.with_name(f"{folder.name}.lock"), temporary=True):
            entered.set()
            while not waiting.is_set():
                waiting.wait(1)
            made(source, folder)

    monkeypatch.setenv("SLTK_CACHE", str(tmp_path / "other"))
    build(model)
    (source,) = (tmp_path / "other/gguf").iterdir()
    monkeypatch.setenv("SLTK_CACHE", str(tmp_path / "cache"))
    waiting = threading.Event()

    class Waiting(tiny.RecordingProgress):
        def note(self, message: str) -> None:
            super().note(message)
            waiting.set()

    other = threading.Thread(target=convert_elsewhere)
    other.start()
    entered.wait()
    progress = Waiting()
    with reporting_to(progress):
        Decoder(name=str(model), unmask="01").build(BuildContext(CPU, 0))
    other.join()
    assert len(progress.notes) == 1
    assert progress.notes[0].startswith("waiting for a conversion: process")


def test_any_process_of_a_run_can_convert(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers saves models only in the first process; another one may be the first that needs the conversion."""
    from transformers.distributed import mixin

    monkeypatch.setattr(mixin, "_is_torch_distributed_initialized", lambda: True)
    monkeypatch.setattr(mixin, "_get_torch_distributed_rank", lambda: 1)
    monkeypatch.setenv("SLTK_CACHE", str(tmp_path / "cache"))
    backbone, _ = build(model)
    assert len(backbone.flags) == 2
    fresh = Decoder.model_validate(tiny.backbone(quantization={"type": "nf4"}, freeze=True))
    assert len(fresh.build(BuildContext(CPU, 0, texts=lambda: iter(tiny_gguf.TEXTS))).flags) == 2


@pytest.fixture(scope="module")
def run(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of adapters on a GGUF file, which lies next to another one."""
    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    shutil.copy(original, folder)
    backbone = {"type": "decoder", "name": str(folder / "tiny.gguf"), "unmask": "01", "lora": {"r": 2}}
    output = tmp_path_factory.mktemp("run") / "run"
    sltk.train(tiny.spec({"max_steps": 1}, backbone=backbone), output)
    tiny_gguf.write(folder / "another.gguf", seed=1)
    return output


def spans(run: Path) -> Any:
    return list(sltk.load(run).predict(["The pasta was good."]))


def test_a_run_finds_its_file_again(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By content: another file next to it does not matter, and it may be moved to `SLTK_MODELS`."""
    base = json.loads((run / "model/sltk.json").read_text())["base"]
    assert (base["gguf_file"], base["covers"]) == ("tiny.gguf", "file")
    expected = spans(run)
    before = Path(base["name"])
    for place in ("small/tiny.gguf", "tiny.gguf"):
        models = tmp_path / place.replace("/", "-")
        (models / place).parent.mkdir(parents=True)
        monkeypatch.setenv("SLTK_MODELS", str(models))
        hidden = before.rename(before.with_name("elsewhere"))
        try:
            with pytest.raises(ModelError, match="is not on this machine"):
                spans(run)
            shutil.copy(hidden / "tiny.gguf", models / place)
            assert spans(run) == expected
        finally:
            hidden.rename(before)


def test_a_file_on_the_hub_is_identified_by_its_commit(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found in the hub's cache, also in a folder of the repository, and by `check` too."""
    import huggingface_hub.constants
    import transformers.utils.hub

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for module in (huggingface_hub.constants, transformers.utils.hub):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path), raising=False)
    commit, repository = "0123456789abcdef0123456789abcdef01234567", tmp_path / "models--user--repo"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    (repository / "snapshots" / commit / "small").mkdir(parents=True)
    shutil.copy(original, repository / "snapshots" / commit / "small/tiny.gguf")
    spec = Decoder(name="user/repo", gguf_file="small/tiny.gguf", unmask="01")
    backbone = spec.build(BuildContext(CPU, 0))
    assert backbone.base == {"name": "user/repo", "gguf_file": "small/tiny.gguf", "revision": commit}
    assert ModelInfo.of(spec).family == "llama"


def test_a_run_refuses_another_file(run: Path, tmp_path: Path) -> None:
    """A file of the same name with other weights is an error."""
    base = Path(json.loads((run / "model/sltk.json").read_text())["base"]["name"])
    shutil.copy(base / "tiny.gguf", tmp_path / "kept")
    shutil.copy(base / "another.gguf", base / "tiny.gguf")
    try:
        with pytest.raises(ModelError, match="are not those this model was trained on"):
            spans(run)
    finally:
        shutil.copy(tmp_path / "kept", base / "tiny.gguf")


def test_runs_of_earlier_versions_load(run: Path, tmp_path: Path) -> None:
    """They recorded the content of the whole folder."""
    old = Path(shutil.copytree(run, tmp_path / "run"))
    description = json.loads((old / "model/sltk.json").read_text())
    folder = Path(description["base"]["name"])
    content = base_weights.content_hash(folder)
    description["base"] = {"name": str(folder), "content": content, "covers": "all"}
    (old / "model/sltk.json").write_text(json.dumps(description))
    manifest.update(old / "model", old / "model/sltk.json")
    assert spans(old) == spans(run)


def test_sizes_of_blocks_are_those_of_the_library(gguf_library: Any) -> None:
    """The table of types in the reader of headers."""
    assert {int(kind): sizes for kind, sizes in gguf_library.GGML_QUANT_SIZES.items()} == BLOCKS


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"general__type": "adapter"}, "contains no model, but `adapter`"),
        ({"split__count": 3}, "part 1 of 3"),
    ],
)
def test_files_without_a_whole_model_are_refused(
    gguf_library: Any, tmp_path: Path, metadata: dict[str, Any], message: str
) -> None:
    """Adapters, and parts of a model."""
    with pytest.raises(ModelError, match=message):
        read_gguf(tiny_gguf.write(tmp_path / "a.gguf", **metadata))


def header(*values: bytes, version: int = 3, tensors: int = 0, keys: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + b"".join(values)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


HOSTILE = {
    "empty": (b"", "is not a GGUF file"),
    "text": (b"name: a spec, and no model at all", "is not a GGUF file"),
    "version 1": (header(version=1), "version 1"),
    "big-endian": (header(version=3 << 24), "big-endian"),
    "keys": (header(keys=2**60), "keys"),
    "tensors": (header(tensors=2**60), "tensors"),
    "no architecture": (header(), "architecture"),
    "long key": (header(struct.pack("<Q", 2**50), keys=1), "bytes"),
    "endless list": (header(text("a"), struct.pack("<IIQ", 9, 4, 2**50), keys=1), "items"),
    "lists of lists": (header(text("a"), struct.pack("<IIQ", 9, 9, 2), keys=1), "items of the type 9"),
    "long item": (header(text("a"), struct.pack("<IIQQ", 9, 8, 1, 2**63), keys=1), "incomplete"),
    "unknown type": (header(text("a"), struct.pack("<I", 99), keys=1), "unknown type 99"),
    "cut": (header(text("a"), struct.pack("<I", 10), keys=1), "ends in its header"),
    "no unicode": (header(struct.pack("<Q", 1) + b"\xff", keys=1), "damaged"),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_impossible_headers_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """Before memory is allocated for what they announce."""
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_gguf(tmp_path / "a.gguf")


@settings(max_examples=40)
@given(st.data())
def test_changed_files_are_read_or_refused(original: Path, data: st.DataObject) -> None:
    """Any change of the header, and any end, gives a header or one clear error."""
    content = bytearray(original.read_bytes())
    size = data.draw(st.integers(0, len(content)))
    for position in data.draw(st.lists(st.integers(0, 2000), max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    changed = original.with_name("changed.gguf")
    changed.write_bytes(content[:size])
    with suppress(ModelError):  # any other exception fails
        shape_of_gguf(read_gguf(changed))


def test_what_transformers_does_not_read_is_reported(
    gguf_library: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scaled positions are a note of `check` and of the conversion; an unknown architecture is an error."""
    model = tiny_gguf.write(tmp_path / "a.gguf", llama__rope__scaling__type="linear")
    assert any("scales rotary positions" in note for note in build(model)[1])
    assert any("scales rotary positions" in note for note in ModelInfo.of(Decoder(name=str(model))).notes)
    for architecture, message in (
        ("phi2", "architecture phi2 is not supported"),
        ("t5", "cannot label text"),
    ):
        with pytest.raises(ModelError, match=message):
            build(tiny_gguf.write(tmp_path / f"{architecture}.gguf", architecture=architecture))


def test_an_incomplete_download_is_named(original: Path, tmp_path: Path) -> None:
    """The sizes of the tensors tell how long the file must be."""
    (tmp_path / "a.gguf").write_bytes(original.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="the file is incomplete: it has"):
        read_gguf(tmp_path / "a.gguf")

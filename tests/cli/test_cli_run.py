"""`sltk train`, `evaluate` and `predict` on the command line, with a model small enough to train in seconds."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from sltk.cli import main

SPEC = """
name: tiny
data:
  train: {type: grammar, part: train, count: 24}
  validation: {type: grammar, part: validation, count: 8}
  test: {type: grammar, part: test, count: 8}
backbone:
  type: decoder
  init: random
  config: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}
  tokenizer: {type: train, vocab_size: 300}
  unmask: 01
max_length: 64
trainer: {max_steps: 3, learning_rate: 1e-3}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(SPEC)
    assert main(["train", str(folder / "tiny.yaml"), "--output", str(folder / "run")]) == 0
    return folder / "run"


def labelled(run: Path, text: bytes, tmp_path: Path, *options: str) -> list[dict[str, object]]:
    """The output of `predict --format jsonl` for a file with this content."""
    (tmp_path / "in.txt").write_bytes(text)
    output = tmp_path / "out.jsonl"
    arguments = ["predict", str(run), str(tmp_path / "in.txt"), "--format", "jsonl", "--output", str(output)]
    assert main([*arguments, *options]) == 0
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def test_a_run_directory_has_the_files_of_the_contract(run: Path) -> None:
    """Spec, metrics, model, predictions, log and environment exist; the mask is quoted in the spec."""
    for name in ("spec.yaml", "metrics.json", "log.jsonl", "environment.json", "predictions/test.conll"):
        assert (run / name).is_file(), name
    assert (run / "model" / "sltk.json").is_file()
    assert 'unmask: "01"' in (run / "spec.yaml").read_text()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics.keys() == {"validation", "test", "train"}
    assert {
        "precision",
        "recall",
        "f1",
        "accuracy",
        "per_type",
        "sentences",
        "words",
        "signature",
    } <= metrics["test"].keys()
    assert {"seconds", "words_per_second", "epochs", "steps", "peak_memory_bytes"} <= metrics["train"].keys()
    assert json.loads((run / "environment.json").read_text())["mask_proof"]["holds"] is True


def test_every_word_is_scored(run: Path) -> None:
    """The predictions file has every word of the split exactly once."""
    lines = (run / "predictions" / "test.conll").read_text(encoding="utf-8").splitlines()
    scored = json.loads((run / "metrics.json").read_text())["test"]["words"]
    assert sum(bool(line) for line in lines) == scored


def test_evaluate_gives_the_scores_of_training(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A reloaded model scores exactly as it did when it was trained."""
    assert main(["evaluate", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((run / "metrics.json").read_text())["test"]


def test_evaluate_on_other_data(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--data` with `--reader` scores a file; tags that the model does not know count as errors and are reported."""
    path = tmp_path / "other.conll"
    path.write_text("The\tO\nsoup\tB-positive\n\nA\tO\nfork\tB-cutlery\n")
    assert main(["evaluate", str(run), "--data", str(path), "--reader", "conll", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["per_type"]["cutlery"]["support"] == 1
    assert "B-cutlery" in captured.err


HARD = [
    "",
    "   ",
    "plain words .",
    "emoji 👩‍👩‍👧‍👦 and 🇫🇷 and e\u0301",
    "Ελληνικά русский 中文 ไทย العربية",
    "bell \x07 escape \x1b[31m null \x00 end",
    "\u200b\ufe0f\u200d",
    "word " * 10_000,
]


def test_predict_keeps_order_words_and_offsets_of_any_text(run: Path, tmp_path: Path) -> None:
    """Each line gives one object, and its offsets delimit the words in the text."""
    objects = labelled(run, "\n".join(HARD).encode() + b"\n", tmp_path)
    assert [each["text"] for each in objects] == HARD
    for each in objects:
        words = each["words"]
        assert isinstance(words, list)
        assert all(str(each["text"])[word["start"] : word["end"]] == word["text"] for word in words)
    assert [len(each["words"]) for each in objects][:2] == [0, 0]  # type: ignore[arg-type]
    assert len(objects[-1]["words"]) == 10_000  # type: ignore[arg-type]


def test_predict_replaces_and_reports_invalid_utf_8(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invalid bytes become U+FFFD, and the line is reported."""
    objects = labelled(run, b"fine\nbad \xff byte\n", tmp_path)
    assert objects[1]["text"] == "bad \ufffd byte"
    assert "in.txt:2" in capsys.readouterr().err


def test_predictions_do_not_depend_on_the_batch_size(run: Path, tmp_path: Path) -> None:
    """A sentence gets the same tags alone and in a batch."""
    text = b"The soup was awful .\nA fine , large and rather slow pizza came\nnice\n"
    for one, many in zip(
        labelled(run, text, tmp_path, "--batch-tokens", "1"), labelled(run, text, tmp_path), strict=True
    ):
        assert [word["tag"] for word in one["words"]] == [word["tag"] for word in many["words"]]  # type: ignore[attr-defined]


def test_predict_reads_standard_input(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`-` is standard input; only the result goes to standard output."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"One line .\n\nTwo lines .\n")))
    assert main(["predict", str(run), "-", "--format", "jsonl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["One line .", "", "Two lines ."]


def test_predict_sets_keys_of_the_writer(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--writer-option` sets them; an unknown key or value is an error before the model is loaded."""
    (tmp_path / "in.txt").write_text("The soup was cold.\n")
    arguments = ["predict", str(run), str(tmp_path / "in.txt"), "--format", "label_studio", "--writer-option"]
    assert main([*arguments, "text_field=body"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["data"] == {"body": "The soup was cold."}
    for option, message in (("text_feild=body", "did you mean `text_field`?"), ("offsets=bytes", "`utf16`")):
        assert main([*arguments, option]) == 2
        assert message in capsys.readouterr().err


def test_predict_keeps_the_words_of_an_annotated_file(run: Path, tmp_path: Path) -> None:
    """With `--reader`, words come from the file, not from the splitter."""
    path = tmp_path / "words.conll"
    path.write_text("don't\tO\nU.S.A.\tO\n\n:-)\tO\n")
    output = tmp_path / "out.conll"
    arguments = [
        "predict",
        str(run),
        str(path),
        "--reader",
        "conll",
        "--format",
        "conll",
        "--output",
        str(output),
    ]
    assert main(arguments) == 0
    words = [line.split("\t")[0] for line in output.read_text().splitlines()]
    assert words == ["don't", "U.S.A.", "", ":-)", ""] or words == ["don't", "U.S.A.", "", ":-)"]


@pytest.mark.parametrize("writer", ["text", "conll", "jsonl", "spans", "html"])
def test_every_writer_is_a_format_of_predict(run: Path, tmp_path: Path, writer: str) -> None:
    """`--format` takes the name of each writer."""
    (tmp_path / "in.txt").write_text("The soup was awful .\n")
    output = tmp_path / "out"
    assert main(["predict", str(run), str(tmp_path / "in.txt"), "-f", writer, "-o", str(output)]) == 0
    assert output.stat().st_size > 0 or writer == "spans"


def wrong(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Standard error of a command that ends with exit code 2."""
    assert main(arguments) == 2
    return capsys.readouterr().err


def test_a_missing_input_is_reported_before_the_model_is_loaded(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the file, and no output is written."""
    output = tmp_path / "out"
    message = wrong(["predict", str(run), str(tmp_path / "absent.txt"), "-o", str(output)], capsys)
    assert "no such file" in message
    assert "absent.txt" in message
    assert not output.exists()


def test_an_unknown_writer_is_reported_with_the_nearest_name(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--format josnl` suggests `jsonl`."""
    assert "did you mean `jsonl`" in wrong(["predict", str(run), "-", "-f", "josnl"], capsys)


def test_an_existing_run_is_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Training into a finished run needs --resume or --force."""
    message = wrong(["train", str(run.parent / "tiny.yaml"), "--output", str(run)], capsys)
    assert "--force" in message
    assert "finished run" in message


def test_resuming_a_finished_run_does_nothing(run: Path) -> None:
    """`--resume` of a finished run succeeds and changes no file."""
    before = (run / "metrics.json").stat().st_mtime_ns
    assert main(["train", str(run.parent / "tiny.yaml"), "--output", str(run), "--resume"]) == 0
    assert (run / "metrics.json").stat().st_mtime_ns == before


def test_a_mask_that_does_not_fit_is_an_error_before_anything_is_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three groups of two blocks are rejected, with the position in the spec."""
    spec, output = run.parent / "tiny.yaml", tmp_path / "no"
    message = wrong(["train", str(spec), "--output", str(output), "--set", "backbone.unmask=011"], capsys)
    assert "3 digits" in message
    assert "backbone.unmask" in message
    assert not output.exists()


def test_an_empty_folder_is_not_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error says that the folder is not a run directory."""
    assert "is not a run directory" in wrong(["evaluate", str(tmp_path)], capsys)


def test_an_unknown_split_is_an_error(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error lists the splits that exist."""
    message = wrong(["evaluate", str(run), "--split", "dev"], capsys)
    assert "train" in message
    assert "validation" in message

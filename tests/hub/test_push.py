"""`sltk push` and loading from the hub, with the real huggingface_hub client and a server on loopback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, constants

import hub_peer
import sltk
from repository import ROOT
from sltk.cli import main

TAGGER = ROOT / "tests" / "stored_runs" / "tagger"
CUSTOM = ROOT / "tests" / "stored_runs" / "custom"
SENTENCES = [["The", "soup", "was", "awful", "."]]


def commits(peer: hub_peer.HubPeer) -> list[str]:
    """The paths of all requests that change a branch."""
    return [path for path in peer.paths("POST") if "/commit/" in path]


def test_a_run_is_pushed_in_one_commit_and_loaded_again(
    hub: hub_peer.HubPeer, trained_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hub gets an export with its card, and `sltk.load(NAME)` labels as the run does."""
    assert main(["push", str(trained_run), "me/reviews", "--license", "apache-2.0", "--private"]) == 0
    output = capsys.readouterr()
    assert f"{hub.url}/me/reviews/commit/" in output.out
    assert "model.safetensors" in output.err
    assert hub_peer.TOKEN not in output.out + output.err
    assert commits(hub) == ["/api/models/me/reviews/commit/main"]
    repository = hub.repositories["me/reviews"]
    assert repository.private
    card = ModelCard(repository.branches["main"]["README.md"].decode())
    assert card.data.license == "apache-2.0"
    assert "sltk.load('me/reviews')" in card.text

    expected = sltk.load(trained_run).predict(SENTENCES)
    assert sltk.load("me/reviews").predict(SENTENCES) == expected
    seen = len(hub.requests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert sltk.load("me/reviews").predict(SENTENCES) == expected  # from the cache
    assert len(hub.requests) == seen


def test_an_existing_export_is_pushed_as_it_is(
    hub: hub_peer.HubPeer, plain_export: Path, tmp_path: Path
) -> None:
    """Its files are those of the manifest; others stay on the machine, and an edited card keeps its text."""
    folder = Path(shutil.copytree(plain_export, tmp_path / "model"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n", "utf-8")
    (folder / "private.md").write_text("secret", "utf-8")
    (folder / "LICENSE").write_text("free", "utf-8")
    assert main(["push", str(folder), "me/mine", "--language", "en"]) == 0
    files = hub.repositories["me/mine"].branches["main"]
    assert "private.md" not in files
    assert files["LICENSE"] == b"free"
    card = ModelCard(files["README.md"].decode())
    assert (card.data.license, card.data.language, card.text.strip()) == ("mit", "en", "# Mine")


def test_a_second_push_removes_what_the_first_left(hub: hub_peer.HubPeer, plain_export: Path) -> None:
    """Files that would be taken for a part of the new model go in the same commit; pictures and branches stay."""
    repository = hub.repositories["me/reviews"] = hub_peer.Repository()
    repository.branches["main"] |= {"sltk.json": b"{}", "adapter.safetensors": b"old", "picture.png": b"p"}
    assert main(["push", str(plain_export), "me/reviews", "--revision", "v2"]) == 0
    assert "adapter.safetensors" in repository.branches["main"]
    assert "adapter.safetensors" not in repository.branches["v2"]
    assert "picture.png" in repository.branches["v2"]
    assert sltk.load("me/reviews@v2").labels.scheme == "IOB2"
    assert commits(hub) == ["/api/models/me/reviews/commit/v2"]


def test_a_dry_run_sends_nothing(
    hub: hub_peer.HubPeer, plain_export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--dry-run` prints the files and their sizes."""
    assert main(["push", str(plain_export), "me/reviews", "--dry-run"]) == 0
    assert "config.json" in capsys.readouterr().err
    assert hub.requests == []


@pytest.mark.parametrize(
    ("arguments", "refusals", "code", "expected"),
    [
        (["me/re views"], {}, 2, "is not a name on the hub"),
        (["reviews"], {}, 2, "expected USER/NAME"),
        (["me/public", "--private"], {}, 2, "exists and is public"),
        (["me/other"], {}, 2, "holds something that sltk did not write"),
        (["me/new", "--license", "no-such-licence"], {}, 2, "the hub refuses the card"),
        (["me/new"], {"/api/whoami-v2": 401}, 2, "does not accept your token"),
        (["you/new"], {"/api/repos/create": 403}, 2, "your token may not do this"),
        (["me/public"], {"/api/models/me/public/commit": 500}, 1, "with status 500"),
    ],
    ids=["name", "user", "public", "foreign", "licence", "token", "rights", "server"],
)
def test_what_cannot_be_pushed_is_one_clear_error(
    hub: hub_peer.HubPeer, plain_export: Path, capsys: pytest.CaptureFixture[str],
    arguments: list[str], refusals: dict[str, int], code: int, expected: str,
) -> None:  # fmt: skip
    """Nothing is uploaded, and the message has neither the token nor a traceback."""
    hub.repositories["me/public"] = hub_peer.Repository()
    hub.repositories["me/other"] = hub_peer.Repository()
    hub.repositories["me/other"].branches["main"]["pytorch_model.bin"] = b"x"
    hub.refusals |= refusals
    assert main(["push", str(plain_export), *arguments]) == code
    error = capsys.readouterr().err
    assert expected in error
    assert hub_peer.TOKEN not in error
    assert "Traceback" not in error
    assert "me/new" not in hub.repositories
    assert all("sltk.json" not in each.branches["main"] for each in hub.repositories.values())


def test_code_is_uploaded_and_used_only_with_consent(
    hub: hub_peer.HubPeer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`push` needs `--with-code`, and `load` neither downloads nor runs the code without `trust_code`."""
    sltk.export(CUSTOM, tmp_path / "model", trust_code=True)
    push = ["push", str(tmp_path / "model"), "me/custom"]
    assert main(push) == 2
    assert "which would be uploaded with it" in capsys.readouterr().err
    assert not commits(hub)
    assert main([*push, "--with-code"]) == 0
    with pytest.raises(sltk.UsageError, match="needs its own Python code"):
        sltk.load("me/custom")
    assert not list((tmp_path / "cache").rglob("*.py"))
    labelled = sltk.load("me/custom", trust_code=True).predict(SENTENCES)
    assert labelled == sltk.load(tmp_path / "model", trust_code=True).predict(SENTENCES)


def test_pickles_stay_on_both_sides(
    hub: hub_peer.HubPeer, plain_export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model with a pickled file is neither uploaded nor downloaded."""
    folder = Path(shutil.copytree(plain_export, tmp_path / "model"))
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "extra.bin").write_bytes(b"x")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    manifest["files"]["extra.bin"] = {"bytes": 1, "sha256": digest}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    assert main(["push", str(folder), "me/pickle"]) == 2
    assert "extra.bin` is not uploaded" in capsys.readouterr().err
    hub.repositories["me/pickle"] = hub_peer.Repository()
    hub.repositories["me/pickle"].branches["main"] |= {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    with pytest.raises(sltk.UsageError, match=r"does not download: `extra\.bin`"):
        sltk.load("me/pickle")


def test_a_changed_file_on_the_hub_is_refused(hub: hub_peer.HubPeer, plain_export: Path) -> None:
    """What was downloaded is compared with the manifest before it is used."""
    assert main(["push", str(plain_export), "me/reviews"]) == 0
    hub.repositories["me/reviews"].branches["main"]["tokenizer/tokenizer.json"] = b"{}"
    with pytest.raises(sltk.UsageError, match=r"tokenizer\.json"):
        sltk.load("me/reviews")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("me/nothing", "there is no folder `me/nothing`, and the hub has no model `me/nothing`"),
        ("me/public@v9", "has no revision `v9`"),
        ("me/public", "`sltk push` did not write it"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_clear_error(
    hub: hub_peer.HubPeer, capsys: pytest.CaptureFixture[str], name: str, expected: str
) -> None:
    """The message says that there is neither a folder nor a model of sltk on the hub."""
    hub.repositories["me/public"] = hub_peer.Repository()
    assert main(["evaluate", name]) == 2
    assert expected in capsys.readouterr().err


def test_a_folder_wins_over_the_hub(
    hub: hub_peer.HubPeer, plain_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is a folder here is never looked up."""
    shutil.copytree(plain_export, tmp_path / "me" / "reviews")
    monkeypatch.chdir(tmp_path)
    assert sltk.load("me/reviews").labels.scheme == "IOB2"
    assert hub.requests == []


def test_without_a_network_only_the_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, a model that is not in the cache is an error that names HF_HUB_OFFLINE, and so is a push."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(sltk.ModelError, match="HF_HUB_OFFLINE"):
        sltk.load("me/reviews")
    assert main(["push", str(TAGGER), "me/reviews"]) == 2


def test_an_unreachable_hub_ends_a_push(
    monkeypatch: pytest.MonkeyPatch, plain_export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No connection is exit code 1, and the message names the address."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", hub_peer.TOKEN)
    assert main(["push", str(plain_export), "me/reviews"]) == 1
    assert "cannot reach the hub at http://127.0.0.1:9" in capsys.readouterr().err

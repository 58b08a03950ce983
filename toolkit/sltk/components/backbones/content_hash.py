"""Says which base weights an adapter was trained on, so that it is never put on others."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

_SAMPLES, _SAMPLE_BYTES = 64, 65536


def fingerprint(name: str, revision: str | None) -> dict[str, Any]:
    """`{"name", "revision"}` for a hub model that was loaded just now, `{"name", "content"}` for a directory.

    `revision` is what was asked for: a branch, a tag, or None; what is recorded is the commit that it stands for.
    """
    folder = Path(name)
    if folder.is_dir():
        return {"name": name, "content": content_hash(folder)}
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json", revision=revision)
    return {"name": name, "revision": Path(config).parent.name if isinstance(config, str) else revision}


def content_hash(folder: Path) -> str:
    """SHA-256 over config and weights of a model directory.

    Of each weights file its size and 64 evenly spread samples of 64 KiB count (all of a small file), so that
    a 14-GB model is told from another in milliseconds.
    """
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.gguf"), folder / "config.json"]):
        if not path.exists():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}\n".encode())
        with path.open("rb") as file:
            for sample in range(_SAMPLES):
                file.seek(sample * max(_SAMPLE_BYTES, size // _SAMPLES))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()

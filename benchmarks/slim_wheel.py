"""Remove the native libraries that one machine does not need from the wheel of bitsandbytes.

    python benchmarks/slim_wheel.py bitsandbytes-0.50.2-….whl libbitsandbytes_cuda130.so

The wheel is replaced; its other files stay as they are, and its RECORD lists those that are left.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path


def slim(wheel: Path, keep: str) -> None:
    """Keep the library `keep` and the one for CPUs.

    Raises:
        ValueError: the wheel has no such library; the message lists those it has.
    """
    with zipfile.ZipFile(wheel) as source:
        libraries = [name for name in source.namelist() if name.endswith(".so")]
        kept = [name for name in libraries if name.rpartition("/")[2] in (keep, "libbitsandbytes_cpu.so")]
        if not any(name.endswith(f"/{keep}") for name in kept):
            raise ValueError(f"{wheel.name} has no {keep}; it has {', '.join(sorted(libraries))}")
        dropped = set(libraries) - set(kept)
        partial = wheel.with_suffix(".partial")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as target:
            for entry in source.infolist():
                if entry.filename in dropped:
                    continue
                content = source.read(entry)
                if entry.filename.endswith(".dist-info/RECORD"):
                    lines = content.decode().splitlines(keepends=True)
                    content = "".join(line for line in lines if line.split(",")[0] not in dropped).encode()
                target.writestr(entry, content, zipfile.ZIP_DEFLATED)
    partial.replace(wheel)


if __name__ == "__main__":
    try:
        slim(Path(sys.argv[1]), sys.argv[2])
    except ValueError as error:
        sys.exit(f"error: {error}")

#!/usr/bin/env bash
# Collects the packages that `gpu.py` needs besides torch, transformers, peft, accelerate, safetensors, rich and typer,
# as wheels for CPython on x86-64 Linux, so that a machine without a network can install them from one folder.
#
#     benchmarks/gpu_wheels.sh wheels          all wheels
#     benchmarks/gpu_wheels.sh wheels 130      bitsandbytes only for CUDA 13.0: a tenth of the size
#
# On the machine with the GPU, in a checkout of sltk:
#
#     python -m pip install --no-index --no-deps --target site wheels/*.whl
#     PYTHONPATH=site:toolkit python benchmarks/gpu.py --output gpu-results
#
# The second argument is `torch.version.cuda` there, without the dot. PYTHON_VERSION (3.12) and LIMIT_MB (64) are
# environment variables.
set -euo pipefail

folder=${1:?usage: $0 FOLDER [CUDA]}
cuda=${2:-}
version=${PYTHON_VERSION:-3.12}
limit=${LIMIT_MB:-64}
python=${PYTHON:-python3}

if compgen -G "$folder/*.whl" >/dev/null; then
  echo "error: $folder already has wheels: two versions of one package would conflict" >&2
  exit 2
fi

partial=$(mktemp -d)
trap 'rm -rf "$partial"' EXIT

platforms=()
for glibc in 2_34 2_31 2_28 2_27 2_24 2_17; do
  platforms+=(--platform "manylinux_${glibc}_x86_64")
done
platforms+=(--platform manylinux2014_x86_64 --platform manylinux1_x86_64)
"$python" -m pip download --quiet --no-deps --only-binary=:all: --dest "$partial" \
  --implementation cp --python-version "$version" "${platforms[@]}" \
  "pydantic>=2.12" annotated-types typing-inspection typing-extensions "bitsandbytes>=0.50"

# pydantic works with exactly one version of its core.
core=$("$python" - "$partial" <<'PY'
import re, sys, zipfile
from pathlib import Path

(wheel,) = Path(sys.argv[1]).glob("pydantic-*.whl")
with zipfile.ZipFile(wheel) as archive:
    name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    print(re.search(r"^Requires-Dist: (pydantic-core==[^\s;]+)", archive.read(name).decode(), re.M)[1])
PY
)
"$python" -m pip download --quiet --no-deps --only-binary=:all: --dest "$partial" \
  --implementation cp --python-version "$version" "${platforms[@]}" "$core"

# seqeval is published as source only; it is pure Python.
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$partial" "seqeval>=1.2.2"

if [[ -n $cuda ]]; then
  "$python" "$(dirname "$0")/slim_wheel.py" "$partial"/bitsandbytes-*.whl "libbitsandbytes_cuda${cuda}.so"
fi

size=$(du --apparent-size --block-size=1 --total "$partial"/*.whl | tail -1 | cut -f1)
(cd "$partial" && ls -l ./*.whl)
echo "$((size / 1000000)) MB of at most $limit MB"
if ((size > limit * 1000000)); then
  echo "error: too large: name the version of CUDA as second argument" >&2
  exit 1
fi
mkdir -p "$folder"
mv "$partial"/*.whl "$folder"

"""Generate the parts of the documentation that follow from the code: `make generated`, or this file alone.

A generated part is enclosed in `<!-- generated: NAME -->` and `<!-- end -->`. A test fails if one is out of date.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

from sltk.components.registry import SLOTS, registry
from sltk.spec.data_settings import DataSpec
from sltk.spec.experiment import Experiment
from sltk.spec.options import field_rows
from sltk.spec.trainer_settings import TrainerSpec

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "toolkit" / "sltk"
REFERENCE = ROOT / "docs" / "reference"
PAGES = (ROOT / "README.md", *(REFERENCE / f"{name}.md" for name in ("specs", "components", "source")))
_PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def generated(text: str) -> str:
    """Return the page with its generated parts brought up to date."""
    return _PART.sub(lambda part: part[1] + PARTS[part[2]]() + part[3], text)


def keys_table(model: type[BaseModel]) -> str:
    """Return a table with one row per key, nested ones as `lora.r`; `data` and `trainer` have separate tables."""
    rows = [row for row in field_rows(model) if not row[0].startswith(("data.", "trainer."))]
    return _table(
        ("key", "type", "default", "meaning"),
        ((f"`{key}`", kind, _code(default), meaning) for key, kind, default, meaning in rows),
    )


def _code(default: str) -> str:
    return default if default in ("(required)", "null") else f"`{default}`"


def components() -> str:
    """Return the help and the keys of every component."""
    return "\n".join(_component_texts())


def _component_texts() -> Iterator[str]:
    for slot in _slots():
        yield f"## {slot}s\n"
        for name, component in registry.slot(slot).items():
            yield f"### `{name}`\n"
            yield inspect.cleandoc(component.__doc__ or "") + "\n"
            if component.model_fields:
                yield keys_table(component)


def component_names() -> str:
    """Return a table of the names of all components by slot."""
    rows = ((slot, ", ".join(f"`{name}`" for name in registry.slot(slot))) for slot in _slots())
    return _table(("slot", "components"), rows)


def quickstart() -> str:
    """Return the spec of the quickstart as a code block."""
    path = "experiments/quickstart.yaml"
    return f"```yaml {path}\n{(ROOT / path).read_text(encoding='utf-8')}```\n"


def tree() -> str:
    """Return one line per file of the package."""
    files = sorted(PACKAGE.rglob("*.py"), key=lambda path: (path.parent != PACKAGE, path))
    lines = (f"  {_shown(path.relative_to(PACKAGE)):<28}{_first_line(path)}" for path in files)
    return "\n".join(["```text", "toolkit/sltk/", *lines, "```", ""])


def _shown(path: Path) -> str:
    is_folder = path.name == "__init__.py" and len(path.parts) > 1
    indent = "  " * (len(path.parts) - 1 - is_folder)
    return indent + (f"{path.parent.name}/" if is_folder else path.name)


def _first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _slots() -> list[str]:
    return [slot for slot in SLOTS if registry.slot(slot)]


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [tuple(header)]
    cells.append(tuple("---" for _ in cells[0]))
    cells += [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells) + "\n"


PARTS = {
    "spec": lambda: keys_table(Experiment),
    "data": lambda: keys_table(DataSpec),
    "trainer": lambda: keys_table(TrainerSpec),
    "components": components,
    "names": component_names,
    "quickstart": quickstart,
    "tree": tree,
}


def main() -> int:
    """Update the pages whose generated parts are out of date and print their names; with `--check`, only print them."""
    stale = [page for page in PAGES if generated(text := page.read_text(encoding="utf-8")) != text]
    for page in stale:
        print(f"{'out of date' if '--check' in sys.argv else 'updated'}: {page.relative_to(ROOT)}")
        if "--check" not in sys.argv:
            page.write_text(generated(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())

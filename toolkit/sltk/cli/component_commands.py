"""list and show: what a spec may say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError, nearest
from .frame import ImportsOption, app, run_imports, show_table, write

if TYPE_CHECKING:
    from ..components.registry import Component


@app.command("list", short_help="List the components that a spec may name.")
def list_components(
    slot: Annotated[str | None, typer.Argument(help="reader, head, …; all slots without")] = None,
    imports: ImportsOption = None,
) -> None:
    """List the components there are, of one slot or of all."""
    run_imports(imports)
    from ..components.registry import registry

    slots = registry.slots() if slot is None else [_known_slot(slot)]
    for number, name in enumerate(slots):
        if number:
            write("")
        rows = [(key, _summary(component)) for key, component in registry.slot(name).items()]
        show_table([name, ""], rows)


@app.command("show", short_help="Show what a component or a mask does.")
def show(
    slot: Annotated[str, typer.Argument(help="reader, head, …; or `mask`")],
    name: Annotated[str, typer.Argument(help="name of the component; for `mask`: a mask, a spec or a run")],
    blocks: Annotated[
        int | None, typer.Option("--blocks", min=1, help="with `mask`: how many blocks the model has")
    ] = None,
    imports: ImportsOption = None,
) -> None:
    """Show what a component does, its keys, their types and defaults; or which blocks a mask is about.

    Examples: `sltk show reader conll`, `sltk show mask 0111 --blocks 30`.
    """
    run_imports(imports)
    if slot == "mask":
        from .mask import show_mask

        show_mask(name, blocks)
        return
    if blocks is not None:
        raise UsageError("`--blocks` belongs to `sltk show mask`")
    _show_component(_found(_known_slot(slot), name))


def _known_slot(given: str) -> str:
    """The slot of that name, `readers` for `reader` allowed."""
    from ..components.registry import registry
    from ..errors import Problem

    known = registry.slots()
    name = given.lower()
    if name in known:
        return name
    if name.endswith("s") and name[:-1] in known:
        return name[:-1]
    note = f"slots: {', '.join(known)}"
    raise UsageError(Problem(f"unknown slot `{given}`", suggestion=nearest(name, known), notes=(note,)))


def _found(slot: str, name: str) -> type[Component]:
    from ..components.registry import UnknownComponentError, registry

    try:
        return registry.find(slot, name)
    except UnknownComponentError as error:
        from dataclasses import replace

        raise UsageError(replace(error.problem, path=None)) from None


def _summary(component: type[Component]) -> str:
    return (component.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ").strip()


def _show_component(component: type[Component]) -> None:
    import inspect

    from ..spec.options import field_rows

    write(f"{component.slot} {component.type_name}   ({component.__module__})\n")
    write(inspect.cleandoc(component.__doc__ or "") + "\n")
    rows = field_rows(component)
    if rows:
        show_table(["key", "type", "default", "meaning"], rows)
    else:
        write("It has no keys of its own.")

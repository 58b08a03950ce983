"""list and show: the components that a spec can use."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import Problem, UsageError, nearest
from .app import ImportsOption, TrustOption, app, import_policy, print_result, print_table, run_imports

if TYPE_CHECKING:
    from ..components.registry import Component


@app.command("list", short_help="List the components that a spec can use.")
def list_components(
    slot: Annotated[
        str | None, typer.Argument(metavar="SLOT", help="reader, head, …  [default: all slots]")
    ] = None,
    imports: ImportsOption = None,
) -> None:
    """List the components of one slot or of all slots."""
    run_imports(imports)
    from ..components.registry import registry

    slots = registry.slots() if slot is None else [_slot_name(slot)]
    for number, name in enumerate(slots):
        if number:
            print_result("")
        rows = [(key, _first_paragraph(component)) for key, component in registry.slot(name).items()]
        print_table([name, ""], rows)


@app.command("show", short_help="Show the keys of a component, or the blocks of a mask.")
def show(
    slot: Annotated[str, typer.Argument(metavar="SLOT", help="reader, head, …; or `mask`")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="component; for `mask`: mask, spec or run directory")
    ],
    blocks: Annotated[
        int | None,
        typer.Option("--blocks", min=1, max=100_000, help="for `mask`: number of blocks of the model"),
    ] = None,
    imports: ImportsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Show what a component does, and its keys with types and defaults; or which blocks a mask selects.

    Examples: `sltk show reader conll`, `sltk show mask 0111 --blocks 30`.
    """
    run_imports(imports)
    if slot == "mask":
        from .mask_display import show_mask

        show_mask(name, blocks, import_policy(trust_code))
        return
    if blocks is not None:
        raise UsageError("`--blocks` is an option of `sltk show mask` only")
    _show_component(_component(_slot_name(slot), name))


def _slot_name(name: str) -> str:
    """The slot with this name; case is ignored, and plurals such as `readers` are allowed.

    Raises:
        UsageError: no slot has this name.
    """
    from ..components.registry import registry

    known = registry.slots()
    for match in (name.lower(), name.lower().removesuffix("s")):
        if match in known:
            return match
    note = f"slots: {', '.join(known)}"
    raise UsageError(
        Problem(f"unknown slot `{name}`", suggestion=nearest(name.lower(), known), notes=(note,))
    )


def _component(slot: str, name: str) -> type[Component]:
    from ..components.registry import UnknownComponentError, registry

    try:
        return registry.find(slot, name)
    except UnknownComponentError as error:
        raise UsageError(replace(error.problem, path=None)) from None


def _first_paragraph(component: type[Component]) -> str:
    return inspect.cleandoc(component.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _show_component(component: type[Component]) -> None:
    from ..spec.options import field_rows

    print_result(f"{component.slot} {component.type_name}   ({component.__module__})\n")
    print_result(inspect.cleandoc(component.__doc__ or "") + "\n")
    rows = field_rows(component)
    if rows:
        print_table(["key", "type", "default", "meaning"], rows)
    else:
        print_result("This component has no keys.")

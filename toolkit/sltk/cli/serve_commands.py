"""`sltk serve`: a trained model behind HTTP."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..files.safety import printable
from .app import (
    ImportsOption,
    RunArgument,
    ThreadsOption,
    TrustOption,
    app,
    print_info,
    print_result,
    run_imports,
)
from .terminal import print_diagnostic

if TYPE_CHECKING:
    from ..serving.serving_settings import ServingSettings
    from .progress_bar import ProgressBar

_TOKEN = "SLTK_TOKEN"


@app.command("serve", short_help="Label text over HTTP, with a page to try it.")
def serve(
    run: RunArgument,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="address to listen at")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="port; 0 is any free one")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="another name of this server, for example behind a proxy; repeatable"
        ),
    ] = None,
    token_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"environment variable with a token that clients must send  [default: {_TOKEN}]",
        ),
    ] = None,
    batch_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="subwords per forward pass")] = 1024,
    max_body: Annotated[int, typer.Option(min=1, metavar="N", help="bytes of a request")] = 2**20,
    max_line: Annotated[int, typer.Option(min=1, metavar="N", help="characters of a line of text")] = 20_000,
    max_requests: Annotated[int, typer.Option(min=1, metavar="N", help="requests that may wait")] = 256,
    timeout: Annotated[
        float, typer.Option(min=0.001, max=86_400, metavar="SECONDS", help="time until a request is answered")
    ] = 30.0,
    imports: ImportsOption = None,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Label text over HTTP, until the command is interrupted.

    The page at the printed address labels text that you paste; programs send JSON to /predict.
    """
    from ..runtime.optional_imports import import_optional

    import_optional("uvicorn", "`sltk serve`", "serve")
    import_optional("fastapi", "`sltk serve`", "serve")
    from ..serving.serving_settings import ServingSettings, allowed_hosts
    from ..serving.socket_server import allowed_connections, open_socket

    token = _token(token_env)
    with open_socket(host, port) as opened:  # before the model is loaded, which takes long
        settings = ServingSettings(
            batch_tokens=batch_tokens,
            max_body=max_body,
            max_line=max_line,
            max_requests=max_requests,
            max_connections=allowed_connections(ServingSettings.max_connections),
            timeout=timeout,
            token=token,
            hosts=allowed_hosts(host, opened.getsockname()[0], allow_host or ()),
        )
        run_imports(imports)
        _serve(run, opened, settings, trust_code)


def _serve(run: Path, opened: Any, settings: ServingSettings, trust_code: bool) -> None:
    from .. import run as pipelines
    from ..families import hub_models
    from ..serving.model_facts import describe_model
    from ..serving.socket_server import address_of, build_server
    from ..serving.web_app import create_app

    run = hub_models.locate(run, trust_code=trust_code)
    with _notes() as progress:
        labeller = pipelines.load(
            run, batch_tokens=settings.batch_tokens, progress=progress, trust_code=trust_code
        )
    about = describe_model(run)
    labeller.predict(["A first text, which takes longest."])
    server = build_server(create_app(labeller.keeping_all(), about, settings, _log), settings)
    if settings.hosts is None and settings.token is None:
        print_diagnostic(
            f"warning: everybody who reaches this machine can use the server: set a token in `{_TOKEN}`"
        )
    device = getattr(labeller.model, "device", "cpu")
    print_info(
        f"model: {printable(about['name'])}, {len(about['types'])} types, {about['format']}, on {device}"
    )
    print_info(_limits(settings))
    print_result(f"listening at {address_of(opened)}   (Ctrl-C ends)")
    server.run(sockets=[opened])
    print_info("the server has ended")


def _log(message: str) -> None:
    """Print one line, whatever line ends are in names that clients and models chose."""
    print_diagnostic(printable(message))


def _notes() -> ProgressBar:
    from .progress_bar import ProgressBar

    class Notes(ProgressBar):
        """Shows each kind of note once: clients could fill the log with others."""

        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()

        def note(self, message: str) -> None:
            kind = re.sub(r"[\d,.]+", "N", message)
            if kind not in self.seen:
                self.seen.add(kind)
                super().note(message)

    return Notes()


def _limits(settings: ServingSettings) -> str:
    return (
        f"limits: {settings.max_body:,} bytes per request, {settings.max_line:,} characters per line, "
        f"{settings.max_requests} requests, {settings.timeout:g} s; "
        f"{'a token is needed' if settings.token else 'no token'}"
    )


def _token(name: str | None) -> str | None:
    """The token that clients must send.

    Raises:
        UsageError: a variable was named and is not set, a token is empty, or has characters that no header can hold.
    """
    token = os.environ.get(name or _TOKEN)
    if token is None:
        if name is not None:
            raise UsageError(f"the environment variable `{name}` of --token-env is not set")
        return None
    if not token:  # a secret that is missing somewhere else must not open the server
        raise UsageError(
            f"the token in `{name or _TOKEN}` is empty: remove the variable to serve without a token"
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(f"the token in `{name or _TOKEN}` has spaces, or characters that are not ASCII")
    return token

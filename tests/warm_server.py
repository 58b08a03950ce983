"""Fork processes that have already imported what takes seconds: `python warm_server.py SOCKET`; see `warm.py`.

It ends when its standard input is closed, so it does not outlive the tests.
"""

import array
import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

CLOSED = 120
"""Exit code of Python if its standard output cannot be flushed."""


def import_libraries() -> None:
    """Import everything that training, labelling and sweeps use."""
    import bitsandbytes  # noqa: F401
    import peft  # noqa: F401
    import transformers.models.llama.modeling_llama

    import sltk.cli
    import sltk.pretraining.pretraining_run
    import sltk.run
    import sltk.sweeps
    import sltk.training.fit
    import sltk.training.labelling_run

    assert sltk, transformers


def serve(path: str) -> None:
    """Fork one process per connection until standard input is closed."""
    import_libraries()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, 0], [], [])
            if 0 in ready:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                report(connection)
            connection.close()


def report(connection: socket.socket) -> None:
    """Fork the process that a client asked for, and send the client its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, descriptors = receive(connection)
    child = os.fork()
    if child == 0:
        connection.close()
        become(request, descriptors)
    for number in (*range(3), *descriptors):
        os.close(number)
    status = os.waitpid(child, 0)[1]
    with suppress(OSError):
        connection.sendall(str(status).encode())
    os._exit(0)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The request of a client, and the descriptors of its open streams."""
    descriptors = array.array("i")
    head, ancillary, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(3 * descriptors.itemsize))
    for _, _, rights in ancillary:
        descriptors.frombytes(rights)
    with connection.makefile("rb") as stream:
        request = json.loads(stream.read(int.from_bytes(head, "big")))
    return request, list(descriptors)


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Be the process that was asked for, and end."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    moved = [os.dup(descriptor) for descriptor in descriptors]  # above 2, before those are replaced
    for number in range(3):
        os.close(number)
    for number, descriptor in zip(request["streams"], moved, strict=True):
        os.dup2(descriptor, number, inheritable=True)
    for descriptor in (*moved, *descriptors):
        if descriptor > 2:
            os.close(descriptor)
    open_streams(request["streams"])
    code = exit_code(request["arguments"])
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            code = CLOSED
    os._exit(code)


def open_streams(numbers: list[int]) -> None:
    """Make `sys.stdin`, `sys.stdout` and `sys.stderr` as Python does in a UTF-8 locale; None if closed."""
    modes = {"stdin": ("r", "strict"), "stdout": ("w", "strict"), "stderr": ("w", "backslashreplace")}
    for number, (name, (mode, errors)) in enumerate(modes.items()):
        stream = None
        if number in numbers:
            is_by_line = mode == "w" and (number == 2 or os.isatty(number))
            stream = open(  # noqa: SIM115  (it stays open)
                number, mode, 1 if is_by_line else -1, encoding="utf-8", errors=errors, closefd=False
            )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def exit_code(arguments: list[str]) -> int:
    """Run `python ARGUMENTS`, where these are `-m MODULE …`, `-c CODE …` or `FILE …`."""
    for folder in reversed(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if folder and folder not in sys.path:
            sys.path.insert(0, folder)
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        elif arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = list(arguments)
            sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return (ended.code or 0) & 0xFF
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])

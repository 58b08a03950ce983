"""Run Python as `python ARGUMENTS` does, in a fork of a warm server: `python warm_client.py SOCKET ARGUMENTS`.

The new process gets the streams, the environment and the working directory of this one, which ends as it does.
"""

import array
import json
import os
import signal
import socket
import sys
from contextlib import suppress


def open_streams() -> list[int]:
    """Which of the three standard streams are open."""
    numbers = []
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            continue
        numbers.append(number)
    return numbers


def main() -> int:
    """Send the request with the open streams, and wait for the exit status."""
    path, *arguments = sys.argv[1:]
    streams = open_streams()
    request = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "streams": streams,
    }
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        data = json.dumps(request).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))] if streams else []
        connection.sendmsg([len(data).to_bytes(8, "big")], rights)
        connection.sendall(data)
        for number in streams:  # else a reader of this process's output would wait for it too
            os.close(number)
        status = int(connection.recv(16) or b"256")
    if os.WIFSIGNALED(status):
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    os._exit(main())

"""A person's terminal: an interactive shell with job control, into which commands are typed."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>])")


class TerminalSession:
    """Runs `bash -i` under a pseudo-terminal of its own session.

    A pseudo-terminal without job control does not stop background processes that touch it, so a
    test without `bash -i` cannot see a command that hangs there.
    """

    def __init__(self, folder, columns=80, rows=24, **variables):
        self.screen = ""
        environment = {k: v for k, v in os.environ.items() if k not in ("CI", "COLUMNS", "LINES")}
        environment |= {"PS1": "ready> ", "TERM": "xterm-256color", **variables}
        self._child, self._terminal = pty.fork()
        if self._child == 0:
            # A program in the background may have been started with these ignored; a shell at a
            # terminal is not, and would hand them on.
            for interrupt in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(interrupt, signal.SIG_DFL)
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)
        self.wait_for("ready> ", limit_s=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self._child, signal.SIGHUP)
        os.close(self._terminal)
        deadline = time.monotonic() + 20
        while os.waitpid(self._child, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self._child, signal.SIGKILL)
            time.sleep(0.1)

    @property
    def text(self):
        """Return all that the screen has shown, without what moves the cursor or colours it."""
        return ESCAPES.sub("", self.screen).replace("\r\n", "\n")

    def type(self, text):
        """Type text; control characters too, such as "\\x03" for Ctrl-C."""
        os.write(self._terminal, text.encode())

    def run(self, command, limit_s):
        """Type a command, wait for it to end, return its exit status and what it printed."""
        begin = len(self.text)
        self.type(f"{command}; echo status=$?=\n")
        shown = self.wait_for(r"status=\d+=", limit_s, begin)
        return int(re.findall(r"status=(\d+)=", shown)[-1]), shown

    def wait_for(self, pattern, limit_s, begin=0):
        """Wait until the screen has shown a pattern; return the text from `begin` on."""
        deadline = time.monotonic() + limit_s
        while not re.search(pattern, self.text[begin:]):
            left = deadline - time.monotonic()
            assert left > 0, (
                f"no {pattern!r} within {limit_s} s; the screen ends:\n{self.text[-1500:]}"
            )
            if select.select([self._terminal], [], [], min(left, 1.0))[0]:
                self.screen += os.read(self._terminal, 65536).decode(errors="replace")
        return self.text[begin:]

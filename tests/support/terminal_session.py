"""A person's terminal: an interactive shell with job control, into which commands are typed."""

import codecs
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
LONGEST_ESCAPE = 200  # characters; what is longer is none
LONGEST_PATTERN = 1000  # characters that a pattern may match


def listen_to_signals():
    """Let this process be stopped as one that a person starts, also below nohup or a shell's `&`.

    A program in the background may have been started with these signals ignored, and hands that on.
    """
    for interrupt in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(interrupt, signal.SIG_DFL)


class TerminalSession:
    """Runs `bash -i` under a pseudo-terminal of its own session.

    A pseudo-terminal without job control does not stop background processes that touch it, so a
    test without `bash -i` cannot see a command that hangs there.
    """

    def __init__(self, folder, columns=80, rows=24, **variables):
        self.text = ""  # all that was shown, without what moves the cursor or colours it
        self._unread = ""  # the beginning of what only later output makes whole
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        environment = {k: v for k, v in os.environ.items() if k not in ("CI", "COLUMNS", "LINES")}
        environment |= {"PS1": "ready> ", "TERM": "xterm-256color", **variables}
        self.shell, self._terminal = pty.fork()
        if self.shell == 0:
            listen_to_signals()
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)
        self.wait_for("ready> ", limit_s=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.shell, signal.SIGHUP)
        os.close(self._terminal)
        deadline = time.monotonic() + 20
        while os.waitpid(self.shell, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.shell, signal.SIGKILL)
            time.sleep(0.1)

    def read(self, limit_s):
        """Read what is shown next, waiting for it no longer than `limit_s`."""
        if not select.select([self._terminal], [], [], limit_s)[0]:
            return
        shown = self._unread + self._decoder.decode(os.read(self._terminal, 65536))
        whole = len(shown) - shown.endswith("\r")
        begun = shown.rfind("\x1b")
        if begun >= 0 and len(shown) - begun < LONGEST_ESCAPE and not ESCAPES.match(shown, begun):
            whole = begun
        self._unread = shown[whole:]
        self.text += ESCAPES.sub("", shown[:whole]).replace("\r\n", "\n")

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
        deadline, unsearched = time.monotonic() + limit_s, begin
        while not re.search(pattern, self.text[unsearched:]):
            unsearched = max(begin, len(self.text) - LONGEST_PATTERN)
            left = deadline - time.monotonic()
            assert left > 0, (
                f"no {pattern!r} within {limit_s} s; the screen ends:\n{self.text[-1500:]}"
            )
            self.read(min(left, 1.0))
        return self.text[begin:]

"""Commands whose standard output is a terminal."""

import fcntl
import os
import pty
import re
import struct
import termios
import threading

from nasctl.cli import cli

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(words, width, patch):
    """Run a command with a terminal of some columns on stdout; returns its lines."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    parts = []

    def read():
        try:
            while part := os.read(main, 65536):
                parts.append(part)
        except OSError:  # Linux says so at the end of a terminal
            pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with os.fdopen(side, "w", encoding="utf-8") as stdout, patch.context() as here:
            here.delenv("COLUMNS", raising=False)
            here.setattr("sys.stdout", stdout)
            cli.main(list(words), standalone_mode=False)
            stdout.flush()
    finally:
        reader.join(10)
        os.close(main)
    return ESCAPES.sub("", b"".join(parts).decode()).replace("\r\n", "\n").splitlines()

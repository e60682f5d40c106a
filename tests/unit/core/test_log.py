"""What a log line shows, on a terminal and elsewhere: never a secret."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

FAILING = """
import logging, sys
import structlog
from core import log
log.configure("control", "debug")
def load(key_pem, url):
    raise RuntimeError("the key " + key_pem)
PEM = "-----BEGIN PRIVATE KEY-----" + chr(10) + "c2VjcmV0" + chr(10) + "-----END PRIVATE KEY-----"
for logger in (structlog.get_logger("ours"), logging.getLogger("theirs")):
    try:
        load(PEM, "postgresql://someone:hunter%d@host" % 2)
    except RuntimeError:
        logger.exception("failed")
"""


def logged(terminal: bool) -> str:
    """What the program writes to standard error."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    subprocess.run([sys.executable, "-c", FAILING], stderr=writer, check=True)
    os.close(writer)
    text = b""
    try:
        while piece := os.read(reader, 65536):
            text += piece
    except OSError:  # a terminal that nobody writes to any more
        pass
    os.close(reader)
    return text.decode()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_traceback_shows_neither_keys_nor_the_values_of_variables(terminal: bool) -> None:
    text = logged(terminal)
    assert text.count("RuntimeError: the key [hidden]") == 2
    assert "c2VjcmV0" not in text
    assert "hunter2" not in text

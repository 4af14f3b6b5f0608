"""What dixc says of its work: nothing in a library, lines on standard output in a command."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest
from tqdm import tqdm

from dixc.display import logged_lines

logger = logging.getLogger("dixc.somewhere")


def test_a_library_is_silent(capfd):
    code = (
        "import logging, dixc\n"
        "logging.getLogger('dixc.evaluation').info('a')\n"
        "logging.getLogger('dixc.evaluation').warning('b')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_program_can_listen(caplog):
    with caplog.at_level(logging.INFO, logger="dixc"):
        logger.info("%s: converged", "water")
    assert caplog.messages == ["water: converged"]


def test_lines_are_shown_as_they_are_and_only_inside(capsys):
    logger.info("before")
    with logged_lines():
        logger.info("%s: %s", "water", "100 % of it")
        logger.info("two\nlines")
        logger.debug("not for all")
    logger.info("after")
    shown = capsys.readouterr()
    assert shown.out == "water: 100 % of it\ntwo\nlines\n"
    assert shown.err == ""


def test_lines_go_to_another_stream(capsys):
    stream = io.StringIO()
    with logged_lines(stream):
        logger.info("here")
    assert stream.getvalue() == "here\n"
    assert capsys.readouterr().out == ""


def test_a_handler_of_the_root_does_not_say_it_twice(capsys):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        with logged_lines():
            logger.info("once")
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().out == "once\n"
    assert stream.getvalue() == ""


def test_lines_do_not_break_a_progress_bar(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    with logged_lines(), tqdm(total=2, file=terminal, ncols=40) as bar:
        bar.update()
        logger.info("a line")
    assert "\ra line\n" in terminal.getvalue().replace(" " * 40, "").replace("\r\r", "\r")


def test_a_stream_that_fails_is_not_passed_over(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    with logged_lines(), pytest.raises(OSError, match="No space left"):
        logger.info("lost")

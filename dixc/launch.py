"""How a command runs: number of threads, import of its stage, and errors as one line."""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import typer
from typer.core import TyperGroup

from dixc import extras
from dixc.display import harmless_streams, logged_lines, one_line
from dixc.errors import DixcWarning, InputError, UserError

# the parser's own complaints: unknown options, missing arguments, values of the wrong type
UsageError = cast(type[Exception], typer.BadParameter.__base__)

# operating-system errors that a user can cause and mend; others are bugs and keep their traceback
USER_ERRNOS = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR,
    errno.EEXIST, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.EFBIG,
}  # fmt: skip
# mallopt parameters: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, bytes
MALLOC_SETTINGS = {-1: 2**28, -2: 2**24, -3: 2**26}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class CommandGroup(TyperGroup):
    """Turns what a user can cause into one line on stderr and exit code 2."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:
            print(ctx.get_help(), file=sys.stderr)
            raise typer.Exit(2)
        with errors_as_lines():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with errors_as_lines(), one_line_warnings(), logged_lines():
            result = super().invoke(ctx)
            sys.stdout.flush()  # a full disk behind it must not wait for the interpreter's end
            return result


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """Ends the program with one line about what a user caused.

    Nothing that is shown within it steers the terminal.

    Raises:
        typer.Exit: code 2 for an error, 130 for an interruption.
    """
    with harmless_streams():
        try:
            yield
            return
        except KeyboardInterrupt:
            print("dixc: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None
        except UserError as error:
            message = str(error)
        except UsageError as error:
            message = usage_message(error)
        except ModuleNotFoundError as error:
            advice = extras.advice(error)
            if advice is None:
                raise
            message = f"this command {advice}"
        except OSError as error:
            if error.errno not in USER_ERRNOS:
                raise
            where = f"{error.filename}: " if error.filename else ""
            message = f"{where}{error.strerror}{'' if where else ' (is it standard output?)'}"
        print(f"dixc: error: {one_line(message)}", file=sys.stderr)
    raise typer.Exit(2)


def usage_message(error: Any) -> str:
    """The parser's complaint, with the command that has the right usage in its help."""
    # the first word is the program, whatever it was started as
    commands = error.ctx.command_path.split()[1:] if error.ctx is not None else []
    return f"{one_line(error.format_message()).rstrip('.')} (see {' '.join(['dixc', *commands])} --help)"


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Shows dixc's own warnings as one line on stderr; those of others as Python does."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, DixcWarning):
                print(f"dixc: warning: {one_line(message)}", file=sys.stderr)
            else:
                others(message, category, *where, **more)

        warnings.showwarning = show
        warnings.simplefilter("always", DixcWarning)
        yield


def run_stage(module: str, threads: int | None, *args: Any, function: str = "run", **kwargs: Any) -> None:
    """Calls a stage's function, imported only after the number of threads is set.

    Args:
        module: name of the stage's module.
        threads: number of threads; None for DIXC_THREADS, else OMP_NUM_THREADS, else all cores.
        *args: passed on.
        function: name of the function.
        **kwargs: passed on.
    """
    n = threads or default_threads()
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(n)
    keep_freed_memory()
    stage = importlib.import_module(module)
    limit_loaded_libraries(n)
    getattr(stage, function)(*args, **kwargs)


def keep_freed_memory() -> None:
    """Tells glibc not to return every large array to the system when it is freed.

    Arrays on grids come and go by the megabyte, and each page of a fresh one costs a fault: a tenth
    of a training. Other C libraries have no such setting and do without.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for parameter, value in MALLOC_SETTINGS.items():
            mallopt(parameter, value)


def limit_loaded_libraries(n: int) -> None:
    """Sets the number of threads of libraries that were loaded before the environment was set."""
    if "pyscf" in sys.modules:
        importlib.import_module("pyscf.lib").num_threads(n)
    if "torch" in sys.modules:
        importlib.import_module("torch").set_num_threads(n)


def default_threads() -> int:
    """Number of threads without `--threads`.

    Raises:
        InputError: an environment variable is not a number.
    """
    for variable in ("DIXC_THREADS", "OMP_NUM_THREADS"):
        # OpenMP allows a list, one number for each level of nesting
        text = os.environ.get(variable, "").split(",")[0]
        if not text:
            continue
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f"environment variable {variable}={text}: must be a whole number above zero")
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

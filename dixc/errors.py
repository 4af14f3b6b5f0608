"""What a user may see: one family of exceptions and one warning, each printed by the CLI as a single line."""

import sys
import warnings


class UserError(Exception):
    """Something that a user can mend, with a message that says in one line what and where: the CLI exits with code 2.

    All exceptions that dixc raises on purpose are of this class, so a caller can catch it, or one of the kinds below.
    """


class InputError(UserError):
    """Bad input: a file, a setting, an argument, or what the environment lacks."""


class NotConverged(UserError):
    """An iteration that ended without an answer, such as an SCF or a training."""


class Unstable(UserError):
    """A ground state that is no minimum, where excitation energies would not be real."""


class DixcWarning(UserWarning):
    """Doubtful input, with a message that says in one line what and where: the work goes on."""


def warn(message: str) -> None:
    """A `DixcWarning` that points at the line of the user's own code from which dixc, or PySCF, was called."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in (
        "dixc",
        "pyscf",
    ):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, DixcWarning, stacklevel=level)

"""What a user may see: one exception and one warning, each printed by the CLI as a single line."""

import sys
import warnings


class UserError(Exception):
    """Bad input, with a message that says in one line what is wrong and where: the CLI exits with code 2."""


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

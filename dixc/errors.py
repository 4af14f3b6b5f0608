"""The one exception that a user may see: the CLI prints it as a single line and exits with code 2."""


class UserError(Exception):
    """Bad input, with a message that says in one line what is wrong and where."""

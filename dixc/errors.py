"""What a user may see: one exception and one warning, each printed by the CLI as a single line."""


class UserError(Exception):
    """Bad input, with a message that says in one line what is wrong and where: the CLI exits with code 2."""


class DixcWarning(UserWarning):
    """Doubtful input, with a message that says in one line what and where: the work goes on."""

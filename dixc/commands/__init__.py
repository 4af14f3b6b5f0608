"""Commands for a person, one module each."""

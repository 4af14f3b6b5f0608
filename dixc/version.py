"""The version of dixc."""

__version__ = "0.1.0"

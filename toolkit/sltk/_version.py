"""The version of sltk."""

__version__ = "0.1.0"

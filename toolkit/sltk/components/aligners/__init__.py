"""Aligners: subword vectors to word vectors."""

from .subword import FirstLast, FirstSubword, LastSubword, Max, Mean

__all__ = ["FirstLast", "FirstSubword", "LastSubword", "Max", "Mean"]

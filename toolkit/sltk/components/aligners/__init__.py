"""Aligners: how the vectors of a word's subwords become the vector of the word."""

from .subword import FirstLast, FirstSubword, LastSubword, Max, Mean

__all__ = ["FirstLast", "FirstSubword", "LastSubword", "Max", "Mean"]

"""Export a trained model: one folder that needs neither its base model nor, if possible, sltk."""

from .exporter import export

__all__ = ["export"]

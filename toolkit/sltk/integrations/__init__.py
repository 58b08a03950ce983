"""Trained models inside other libraries: the spaCy component `sltk`."""

"""How a spec is read, merged, explained and written; `spec.py` says what it may hold, `config.py` puts it together."""

"""A run before it starts: its summary, an estimate of what it needs, and an audit of its data. Loads no weights."""

"""A run before it starts: summary, estimate of size and memory, and audit of the data. Loads no weights."""

"""The run directory: what it holds, how it is written, and what it records about its environment."""

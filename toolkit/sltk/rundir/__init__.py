"""The run directory: its content, its log, and its record of the environment."""

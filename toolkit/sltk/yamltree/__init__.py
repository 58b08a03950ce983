"""YAML as a tree that knows the file, line and column of every key and value."""

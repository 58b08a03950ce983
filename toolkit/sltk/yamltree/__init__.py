"""YAML as a tree that keeps the file, line and column of every key and value.

| module | contents |
|---|---|
| `scalars` | scalars that remember their text, and the folder for relative paths in them |
| `variables` | replace `${NAME}` and `${NAME:-default}` |
| `limits` | size and depth of a document, with aliases expanded |
| `source` | parse YAML text into a tree of `Node` |
| `lookup` | find nodes and positions by path |
| `overlay` | merge one tree over another, and parse `--set a.b=v` |
| `extends` | read a spec with the files it extends and its overrides |
"""

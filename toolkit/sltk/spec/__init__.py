"""Specs: the keys of each kind of spec, and how a spec is loaded, validated, explained and written.

| module | contents |
|---|---|
| `experiment` | the keys of a run's spec, with types, defaults and descriptions |
| `instruct_settings` | the keys under `instruct:` |
| `recipes` | the choices of `trainer.recipe` |
| `loading` | load a spec: YAML, `extends:`, `--set`, `imports:`, validation |
| `imports` | run the files and modules of `imports:` |
| `explain` | turn pydantic's errors into problems with positions |
| `options` | allowed keys, their types and defaults, for messages and help |
| `writing` | write a spec as YAML that loads as the same spec |
| `stored` | read back the files of a run directory, and compare specs |
"""

"""`sltk pretrain`: language modelling before labelling, on the task's own text (TAPT) or from scratch.

    corpus → Reader → text → tokenizer → blocks → Backbone → vectors → output layer → loss

    spec.py        what a pretrain spec says
    text.py        the text, sentence by sentence
    corpus.py      text as a file of token numbers, cut into blocks
    snapshots.py   models kept on the way: when, where, and what is in the folder of one
    pipeline.py    READ THIS FIRST: the run
    rehearsal.py   all of it in small
    summary.py     what a spec would do, in a few lines

The spec of a run starts from the result by `backbone.adapter:` (LoRA) or `backbone.name:` (whole models).
"""

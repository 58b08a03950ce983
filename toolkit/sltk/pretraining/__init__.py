"""`sltk pretrain`: train a language model on the text of a task (TAPT) or from scratch, before labelling.

    corpus → Reader → text → tokenizer → blocks → Backbone → vectors → output layer → loss

    pretraining_run.py       the steps of a run
    pretrain_spec.py         the keys of a spec
    corpus_text.py           text, sentence by sentence
    corpus.py                token ids on disk, cut into blocks
    merging.py               merge trained weights with those before training
    snapshots.py             models saved during training
    pretraining_preview.py   preview of a run for `sltk check`

A labelling run starts from the result with `backbone.adapter:` (LoRA) or `backbone.name:` (a whole model).
"""

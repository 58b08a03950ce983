"""`type: instruct`: a language model receives a prompt and writes the spans of a sentence (paper, section 5).

    Sentence → prompt → response → spans → tags

`model.py` has the steps of a run.
"""

"""Labelling by instruction: a language model is asked for the spans of a sentence and writes them (paper, section 5).

    Sentence → prompt → response → spans → tags

Here are the parts that need no torch: what a spec says, prompts, responses and how they are read back, the
automaton of the responses that a sentence allows. What generates lies in `nn/`; `model.py` puts both together.
"""

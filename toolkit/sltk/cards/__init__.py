"""Model cards: the README.md of a run or an export, made from what the run recorded.

card_facts.py      what a card says about a run
run_facts.py       reads it from a run directory, or from the card.json of an export
card_intervals.py  confidence intervals of the scores, from the predictions that were scored
card_metadata.py   the YAML at the top, which the hub reads
card_text.py       the Markdown below it, with card_usage.py and card_limits.py
model_card.py      put together: `render_card` and `write_card`
"""

from .model_card import CardSettings, render_card, write_card
from .run_facts import base_name

__all__ = ["CardSettings", "base_name", "render_card", "write_card"]

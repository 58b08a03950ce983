"""Keeps the libraries underneath from writing to the user's terminal.

Importing this module is enough; the package does so before any of its modules imports transformers. What those
libraries report and a user must know, sltk says itself, as an error or a note; the bars of downloads stay. Set
SLTK_NOISY=1 to hear everything while looking for a fault in them.
"""

from __future__ import annotations

import logging
import os
import warnings

_LIBRARIES = (
    "bitsandbytes",
    "transformers",
    "peft",
    "accelerate",
    "huggingface_hub",
    "torch.utils.checkpoint",
)


def silence() -> None:
    """No "Loading weights" bars, no log lines below errors, no warnings of how one library calls another."""
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=rf"{library.replace('.', '[.]')}([.].*)?$")
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
    # peft looks for the config of a base that was made on the spot; no vocabulary changes here.
    warnings.filterwarnings("ignore", message="Could not find a config file in", category=UserWarning)

    from huggingface_hub.utils.tqdm import enable_progress_bars
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    enable_progress_bars()  # of downloads: the line above switches them off too, and 14 GB take a while


if os.environ.get("SLTK_NOISY", "") in ("", "0"):
    silence()

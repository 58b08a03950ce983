"""Keep transformers, peft and other libraries from writing to the user's terminal.

The module takes effect on import; `sltk.nn` imports it before any module imports transformers. If a library reports
something that users must know, sltk itself reports it as an error or a note. Progress bars of downloads stay on.
Set SLTK_NOISY=1 to see all output when debugging these libraries.
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
    """Switch off "Loading weights" bars, log lines below errors, and warnings about calls between libraries."""
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=rf"{library.replace('.', '[.]')}([.].*)?$")
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
    # peft looks for the config file of a base model that has none; sltk does not change vocabularies.
    warnings.filterwarnings("ignore", message="Could not find a config file in", category=UserWarning)

    from huggingface_hub.utils.tqdm import enable_progress_bars
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    enable_progress_bars()  # for downloads: the line above switches these off too


if os.environ.get("SLTK_NOISY", "") in ("", "0"):
    silence()

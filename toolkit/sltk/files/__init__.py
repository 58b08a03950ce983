"""Files: atomic writes, locks, text decoding with positions, and text that is safe to show."""

"""Words to subwords: tokenization, alignment, windows, document context, and a cache on disk."""

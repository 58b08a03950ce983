"""Words to subwords: tokenizers, alignment, windows, documents, and a cache on disk."""

"""Process ranks, values cached between runs, progress callbacks, and jobs of a sweep."""

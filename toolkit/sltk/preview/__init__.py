"""What a run would take, and what is odd in its data, without loading any weights."""

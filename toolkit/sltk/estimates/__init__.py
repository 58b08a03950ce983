"""What a run would take, and the shapes of models, said without loading anything."""

"""What a model is by its config: families, shapes, known models, files of a model directory. Loads no weights."""

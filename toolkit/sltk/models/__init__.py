"""Trained and untrained models: build, label, save and load taggers and instruction-tuned models."""

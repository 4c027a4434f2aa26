"""Batches, losses, phases, training, checkpoints."""

"""Tiles to fields on disk."""

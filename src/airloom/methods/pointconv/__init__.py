"""PointConv fusion: stations to complete fields, learnt from a model alone (paper 001)."""

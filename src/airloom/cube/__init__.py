"""Sources brought together: one store a study."""

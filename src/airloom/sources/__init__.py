"""Provider files to canonical names, units, times and cells."""

"""Building blocks that any method may use; they know nothing of data."""

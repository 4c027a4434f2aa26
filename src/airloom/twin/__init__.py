"""The twin: a synthetic but physical world over real geography, whose truth is known everywhere."""

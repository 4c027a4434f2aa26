"""Fields and stations to scores, figures and a report; never a network."""

"""Complete air-quality fields out of models, weather, emissions and stations, and how good they are."""

__version__ = "0.1.0"

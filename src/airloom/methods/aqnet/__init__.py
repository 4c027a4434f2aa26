"""`aqnet`: hourly series at stations, and at stations that do not exist (paper 004)."""

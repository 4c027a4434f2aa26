"""Hours of the UTC day whose mean is estimated."""

Hours = tuple[int, int]  # first, and one past the last
WHOLE_DAY: Hours = (0, 24)


def named(hours: Hours) -> str:
    """The mean over these hours in words.

    >>> named((11, 14))
    '11:00 to 14:00 UTC mean'
    """
    return "daily mean" if hours == WHOLE_DAY else f"{hours[0]:02}:00 to {hours[1]:02}:00 UTC mean"

"""Dates, positions in a recording and estimates of time as the page writes them."""

import math
from datetime import datetime


def day(when: str) -> str:
    """The day of an ISO 8601 time: "2 January 2026"."""
    date = datetime.fromisoformat(when)
    return f"{date.day} {date:%B %Y}"


def moment(when: str) -> str:
    """The day and minute of an ISO 8601 time in UTC: "2 January 2026, 03:04 UTC"."""
    return f"{day(when)}, {datetime.fromisoformat(when):%H:%M} UTC"


def clock(seconds: float) -> str:
    """A position in a recording, to a tenth of a second: "0:04.2"."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def about(seconds: float) -> str:
    """A rough estimate, rounded up: "15 s", "3 minutes"."""
    if seconds <= 55:
        return f"{5 * max(1, math.ceil(seconds / 5))} s"
    minutes = math.ceil(seconds / 60)
    return "1 minute" if minutes == 1 else f"{minutes} minutes"

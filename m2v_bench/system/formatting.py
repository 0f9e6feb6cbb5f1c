"""Format durations, sizes and addresses for people."""

import re
from collections.abc import Iterable


def duration(seconds: float) -> str:
    """Format as seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def human_bytes(size: int) -> str:
    """Format as decimal megabytes or gigabytes."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def number_of(n: int, noun: str) -> str:
    """Return `1 task`, `2 tasks` and so on."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def masked(text: str) -> str:
    """Replace the passwords in addresses by asterisks."""
    return re.sub(r"(\w://[^/\s:@]*):[^/\s@]+@", r"\1:***@", text)


def first_of(names: Iterable[str], most: int) -> str:
    """List the first names, without repetitions, and say how many more there are."""
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - most} more" if len(unique) > most else ""
    return ", ".join(unique[:most]) + more

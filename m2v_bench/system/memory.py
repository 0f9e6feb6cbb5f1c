"""Measure peak and available memory."""

import os
import sys
from pathlib import Path


class Peak:
    """Largest resident set size since construction. Do not use two at a time.

    Attributes:
        of: `task`, or `process` where the system only reports the peak since the process began.
    """

    def __init__(self) -> None:
        self.of = "task" if _reset() else "process"

    def rss_bytes(self) -> int | None:
        """Return the peak so far in bytes; None where the system does not report it."""
        return _peak_since_reset() if self.of == "task" else peak_of_process()


def _reset() -> bool:
    """Reset Linux's peak counter; return whether this worked."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _peak_since_reset() is not None


def _peak_since_reset() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def peak_of_process() -> int | None:
    """Return this process's largest resident set size so far, in bytes; None where the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    # on Linux getrusage includes the peak of the parent process, inherited by fork
    peak = _peak_since_reset()
    unit = 1 if sys.platform == "darwin" else 1024
    return peak if peak is not None else unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def available_memory() -> int | None:
    """Return the memory available to a new process, in bytes; None where the system does not report it."""
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None

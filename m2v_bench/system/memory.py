"""How much memory a piece of work took."""

import os
import sys
from pathlib import Path


class Peak:
    """The largest resident set size since it was made. Two must not be in use at once.

    Attributes:
        of: `task`, or `process` where the system only tells the largest since the process began.
    """

    def __init__(self) -> None:
        self.of = "task" if _reset() else "process"

    def rss_bytes(self) -> int | None:
        """Bytes so far; None where the system does not say."""
        return _peak_since_reset() if self.of == "task" else peak_of_process()


def _reset() -> bool:
    """Let Linux count the peak from now on."""
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
    """The largest resident set size of this process so far, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    # on Linux getrusage would count the process that started this one
    own = _peak_since_reset()
    unit = 1 if sys.platform == "darwin" else 1024
    return own if own is not None else unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def available_memory() -> int | None:
    """Bytes of memory that a new process could take; None where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None

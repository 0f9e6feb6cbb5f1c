"""Processor energy counters on Linux (RAPL through powercap)."""

from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")


class Energy:
    """Energy counters of all processor packages; they count the whole machine, not only this process."""

    def __init__(self, counters: dict[Path, int]) -> None:
        """Take the counter files, each with the number of microjoules at which it wraps around."""
        self._counters = counters

    @classmethod
    def here(cls, root: Path = _POWERCAP) -> "Energy | None":
        """Return the machine's counters; None if there are none that this user may read."""
        counters = {}
        for zone in sorted(root.glob("intel-rapl:*")):
            try:
                if (zone / "name").read_text().startswith("package"):
                    int((zone / "energy_uj").read_text())
                    counters[zone / "energy_uj"] = int((zone / "max_energy_range_uj").read_text())
            except (OSError, ValueError):
                continue
        return cls(counters) if counters else None

    def microjoules(self) -> list[int]:
        """Read the counters."""
        return [int(counter.read_text()) for counter in self._counters]

    def joules_since(self, before: list[int]) -> float:
        """Return the energy used since `microjoules` returned `before`, at most one wraparound ago."""
        pairs = zip(before, self.microjoules(), self._counters.values(), strict=True)
        return sum((now - then) % (most + 1) for then, now, most in pairs) / 1e6

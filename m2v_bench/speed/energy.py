"""What the processors use, where Linux says so (RAPL through powercap)."""

from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")


class Energy:
    """The counters of all processor packages together. They count the whole machine, not this process alone."""

    def __init__(self, counters: dict[Path, int]) -> None:
        """Counters, with the number of microjoules after which each begins anew."""
        self._counters = counters

    @classmethod
    def here(cls, root: Path = _POWERCAP) -> "Energy | None":
        """The machine's counters; None where there are none, or none that this user may read."""
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
        """What the counters say now."""
        return [int(counter.read_text()) for counter in self._counters]

    def joules_since(self, before: list[int]) -> float:
        """What was used since `microjoules` gave `before`; the time between must be less than a counter's round."""
        pairs = zip(before, self.microjoules(), self._counters.values(), strict=True)
        return sum((now - then) % (most + 1) for then, now, most in pairs) / 1e6

"""Check data, models, disk, memory and time before a run starts."""

from m2v_bench.doctor.checkup import doctor

__all__ = ["doctor"]

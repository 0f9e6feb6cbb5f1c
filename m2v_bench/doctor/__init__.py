"""Whether a run could be completed here, before it is started: data, models, disk, memory, time."""

from m2v_bench.doctor.checkup import doctor

__all__ = ["doctor"]

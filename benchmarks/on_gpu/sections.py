"""All sections, in their order, each with its share of the time."""

from __future__ import annotations

from on_gpu import bandwidth, frames, kernels, machine, plans, probe, soak
from on_gpu.run import Section, alone

SECTIONS = (
    Section("machine", machine.work, 1, alone("machine"), reserve=1),
    Section("bandwidth", bandwidth.work, 2, alone("copy"), reserve=5, twice=True),
    Section("rtx_probe", probe.work, 2, probe.cases, reserve=5),
    Section("kernels", kernels.work, 14, kernels.cases, together=True, twice=True),
    Section("soak", soak.work, 3, alone("replay"), reserve=10),
    Section("engines", plans.bench, 12, plans.cases, reserve=30),
    Section("eight_bits", plans.bench_eight_bits, 6, plans.in_eight_bits, reserve=30),
    Section("overhead", plans.overhead, 5, plans.cases, reserve=15),
    Section("torch_frames", frames.work, 28, frames.cases, reserve=25, twice=True),
    Section("agreement", plans.agreement, 4, plans.trained, reserve=10),
)
BY_NAME = {section.name: section for section in SECTIONS}

"""Every figure that needs an NVIDIA GPU, in one run of at most --budget seconds.

    python benchmarks/gpu.py --prepare plans     # anywhere: exports and builds with TensorRT-RTX
    python benchmarks/gpu.py --plans plans --folder run    # on the machine with the GPU
    python benchmarks/gpu.py --dry-run -o dry.json         # on a CPU: every section, tiny sizes

With --checkpoint and --data, given to both, a trained network's labels are held against PyTorch's.

Sections stand alone, and so do their cases: each works in a process of its own with a time limit,
and one that fails, crashes or hangs is recorded as such with its reason and with what it had until
then. Each section has a share of the time left, and what it does not use goes to the later ones.
The JSON is written again with every fact, and benchmarks/performance.py makes a page of it.
Runs from the checkout with PYTHONPATH=. and imports what a section needs only there.
The exit code is 0 if nothing failed, 1 if something did, 2 for wrong usage, 3 without a GPU.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    sys.dont_write_bytecode = True  # nothing is written but what --folder and -o name
    from on_gpu.command import main

    sys.exit(main(__doc__))

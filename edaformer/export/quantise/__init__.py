"""Eight bits written into the graph as Q/DQ: which nodes, with which ranges, in which places.

Like half precision it is in the graph's types, so that no builder flag can be forgotten. The three
steps are a file each: ``parts`` says which nodes, ``calibrate`` how large their tensors get, and
``place`` inserts the pairs.
"""

from __future__ import annotations

from edaformer.errors import InputError


def uncalibrated(precision: str) -> InputError:
    """What is said where eight bits are asked for and no pictures are given."""
    return InputError(
        f"{precision} needs pictures to measure its ranges on; name some with --calibrate: "
        "scenes, camvid:DIR or folder:DIR"
    )

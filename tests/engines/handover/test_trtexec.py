from __future__ import annotations

from pathlib import Path

from edaformer.engines.artifact.plan import read_plan
from edaformer.engines.handover.trtexec import trtexec_line
from edaformer.manifest import Bounds
from tests.engines.handover.conftest import WritePlan
from tests.standins.network import Kind


def test_shapes_only_where_they_are_dynamic(write: WritePlan) -> None:
    fixed = read_plan(write(Kind())).known_manifest()
    assert trtexec_line(Path("a b.plan"), fixed) == (
        "trtexec '--loadEngine=a b.plan' --useCudaGraph --useSpinWait --noDataTransfers "
        "--warmUp=2000"
    )
    bounds = Bounds(least=(1, 32, 32), best=(2, 64, 96), most=(4, 128, 128))
    plan = write(Kind(batch=None, align=None), bounds=bounds, dynamic=True)
    line = trtexec_line(Path("x.plan"), read_plan(plan).known_manifest())
    assert "--shapes=image:2x64x96x3" in line
    rtx = fixed.model_copy(
        update={"engine": fixed.engine.model_copy(update={"flavour": "tensorrt-rtx"})}  # type: ignore[union-attr]
    )
    assert trtexec_line(Path("x.plan"), rtx).startswith("tensorrt_rtx --loadEngine=x.plan ")

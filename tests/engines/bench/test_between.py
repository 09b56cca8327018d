from __future__ import annotations

from typing import Any

import pytest

from edaformer.engines.bench.between import changed


def record(**changes: Any) -> dict[str, Any]:
    state = {"power_mode": "MAXN", "gpu_mhz_limits": [306.0, 1300.5], "cpu_governor": "performance",
             "throttling": []}  # fmt: skip
    machine = {"driver": "540.4", "gpu": {"name": "Orin"}, "packages": {"tensorrt": "10.3.0"}}
    for name, value in changes.items():
        (state if name in state else machine)[name] = value
    return {"state_after": state, "machine": machine}


def test_equal_machines_are_comparable() -> None:
    assert changed(record(), record(gpu_mhz=600.0)) == ()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("power_mode", "15W", "power mode: MAXN then, 15W now"),
        ("power_mode", None, "power mode: MAXN then, unknown now"),
        ("gpu_mhz_limits", [1300.5, 1300.5],
         "GPU clock limits, MHz: 306.0 to 1300.5 then, 1300.5 to 1300.5 now"),
        ("cpu_governor", "schedutil", "CPU governor: performance then, schedutil now"),
        ("throttling", ["thermal"], "throttling: none then, thermal now"),
        ("driver", "570.1", "driver: 540.4 then, 570.1 now"),
        ("packages", {"tensorrt": "10.13.3"},
         "packages: tensorrt 10.3.0 then, tensorrt 10.13.3 now"),
    ],
)  # fmt: skip
def test_what_changed_is_told(name: str, value: object, told: str) -> None:
    assert changed(record(), record(**{name: value})) == (told,)

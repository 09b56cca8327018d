from __future__ import annotations

import ctypes
from typing import Any

import pytest

from edaformer.machine.gpu import Gpu, gpu_visible, query_gpu


class Driver:
    """libcuda with one Orin; answers as the driver API does, through pointers."""

    def __init__(self, devices: int = 1) -> None:
        self.devices = devices

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._answer(name, *arguments)

    def _answer(self, name: str, *arguments: Any) -> int:
        if name == "cuDeviceGetName":
            arguments[0].value = b"Orin"
        elif name == "cuDeviceGetAttribute":
            arguments[0]._obj.value = {75: 8, 76: 7, 18: 1}[arguments[1]]
        elif name != "cuInit":
            values = {"cuDeviceGetCount": self.devices, "cuDeviceGet": 0,
                      "cuDeviceTotalMem_v2": 16 << 30, "cuDriverGetVersion": 12060}  # fmt: skip
            arguments[0]._obj.value = values[name]
        return 0


def test_a_device_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Driver())
    assert query_gpu() == Gpu("Orin", "8.7", True, 16 << 30, (12, 6))
    assert gpu_visible()


def test_a_driver_without_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Driver(devices=0))
    assert query_gpu() is None
    assert not gpu_visible()


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> None:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert query_gpu() is None

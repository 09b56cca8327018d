from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edaformer.engines.bench import state
from edaformer.engines.bench.energy import EnergyMeter
from edaformer.engines.bench.state import CpuTimes, Machine


def lay(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def orin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A Jetson's files."""
    monkeypatch.setattr(state._Nvml, "open", lambda: None)
    rail = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    lay(tmp_path, **{
        "sys/class/devfreq/17000000.ga10b/cur_freq": "918000000\n",
        "sys/class/devfreq/17000000.ga10b/min_freq": "306000000\n",
        "sys/class/devfreq/17000000.ga10b/max_freq": "918000000\n",
        "sys/class/devfreq/15340000.vic/cur_freq": "1\n",
        "sys/class/thermal/thermal_zone0/temp": "45500",
        "sys/class/thermal/thermal_zone1/temp": "51250",
        f"{rail}/in2_label": "VDD_CPU_GPU_CV", f"{rail}/in2_input": "5000",
        f"{rail}/in1_label": "VDD_IN", f"{rail}/in1_input": "5000", f"{rail}/curr1_input": "1500",
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano\0",
    })  # fmt: skip
    return Machine(tmp_path)


def test_a_jetson_s_state(orin: Machine) -> None:
    made = orin.state()
    assert (made.gpu_mhz, made.gpu_mhz_limits) == (918, (306, 918))
    assert (made.temperature, made.power) == (51.25, 7.5)
    assert orin.describe()["cpu"] == "NVIDIA Jetson Orin Nano"


def test_a_jetson_s_energy_is_its_rail_over_time(orin: Machine) -> None:
    meter = EnergyMeter(orin)
    start = time.perf_counter()
    with meter:
        time.sleep(0.3)
    elapsed = time.perf_counter() - start
    assert meter.source == "INA3221, the module's input rail"
    assert meter.joules is not None
    assert 0.5 * 7.5 * 0.3 < meter.joules <= 7.5 * elapsed


def test_a_jetson_whose_nvml_answers_nothing_is_read_from_its_files(
    orin: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orin, "nvml", state._Nvml(SilentNvml("pynvml")))
    made = orin.state()
    assert (made.gpu_mhz, made.temperature, made.power) == (918, 51.25, 7.5)
    assert (orin.joules(), orin.energy_source) == (None, None)
    assert EnergyMeter(orin).source == "INA3221, the module's input rail"


def test_nothing_readable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state._Nvml, "open", lambda: None)
    machine = Machine(tmp_path)
    meter = EnergyMeter(machine)
    with meter:
        pass
    assert (meter.joules, meter.source) == (None, None)
    made = machine.state()
    assert (made.cpu_mhz, made.gpu_mhz, made.power, made.throttling) == (None,) * 4


def test_rapl_and_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state._Nvml, "open", lambda: None)
    lay(tmp_path, **{
        "sys/class/powercap/intel-rapl:0/energy_uj": "3000000",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2400000",
        "proc/cpuinfo": "processor: 0\nmodel name\t: Some CPU\n",
        "proc/stat": "cpu  100 0 100 700 50 25 25 0 0 0\ncpu0 1\n",
    })  # fmt: skip
    machine = Machine(tmp_path)
    meter = EnergyMeter(machine)
    with meter:
        lay(tmp_path, **{"sys/class/powercap/intel-rapl:0/energy_uj": "5500000"})
    assert meter.joules == 2.5
    assert meter.source == "RAPL, the CPU package"
    made = machine.state()
    assert (made.cpu_mhz, made.cpu_governor) == (2400, "powersave")
    assert machine.describe()["cpu"] == "Some CPU"
    ticks = machine.cpu_times()
    assert ticks.busy / ticks.total == pytest.approx(250 / 1000)


def test_what_others_took() -> None:
    before, after = CpuTimes(10, 100, 5), CpuTimes(40, 200, 15)
    assert after.others_since(before) == pytest.approx(0.2)
    assert before.others_since(before) == 0


class Nvml(ModuleType):
    """NVML with one board, which has no power sensor."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        answers = {
            "nvmlInit": None, "nvmlDeviceGetHandleByIndex": "board",
            "nvmlSystemGetDriverVersion": "580.1", "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetTotalEnergyConsumption": 7000,
            "nvmlDeviceGetCurrentClocksThrottleReasons": 0x1 | 0x4 | 0x40,
        }  # fmt: skip

        def ask(*arguments: Any) -> Any:
            if name == "nvmlDeviceGetClockInfo":
                return {1: 1980, 2: 2619}[arguments[1]]
            if name not in answers:
                raise self.NVMLError
            return answers[name]

        return ask


class SilentNvml(Nvml):
    """NVML as a Jetson's: it opens, and supports no question about the GPU."""

    def __getattr__(self, name: str) -> Any:
        known = {"nvmlInit", "nvmlDeviceGetHandleByIndex", "nvmlSystemGetDriverVersion"}
        if name.startswith("nvml") and name not in known:
            return super().__getattr__("nvmlDeviceGetNothing")
        return super().__getattr__(name)


def test_a_board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", Nvml("pynvml"))
    machine = Machine(tmp_path)
    made = machine.state()
    assert (made.gpu_mhz, made.memory_mhz, made.temperature, made.power) == (1980, 2619, 61, None)
    assert made.throttling == ("power cap", "thermal, hardware")
    assert (machine.joules(), machine.energy_source) == (7, "NVML, the whole board")
    assert machine.describe()["driver"] == "580.1"
    assert machine.device_memory() is None

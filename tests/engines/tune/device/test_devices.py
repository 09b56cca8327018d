from __future__ import annotations

import pytest

from edaformer.engines.tune.device import targets
from edaformer.engines.tune.device.devices import DEVICES, get_device, recognise
from edaformer.engines.tune.device.targets import measure_cpu, resolve
from edaformer.errors import InputError, MissingError
from edaformer.machine.gpu import Gpu
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("NVIDIA H100 80GB HBM3 ", "h100"),
        ("NVIDIA H100 PCIe ", None),
        ("NVIDIA GeForce RTX 4060 ", "rtx-4060"),
        ("NVIDIA GeForce RTX 4060 Ti ", None),
        ("NVIDIA GeForce RTX 4060 Laptop GPU ", None),
        ("NVIDIA GeForce RTX 3080 ", "rtx-3080"),
        ("NVIDIA GeForce RTX 4070 SUPER ", None),
        ("NVIDIA GeForce RTX 5090 ", "rtx-5090"),
        ("NVIDIA GeForce RTX 5090 D ", None),
        ("NVIDIA RTX A2000 12GB ", "rtx-a2000"),
        ("NVIDIA RTX A2000 Embedded GPU ", None),
        ("Orin NVIDIA Jetson AGX Orin Developer Kit", "agx-orin"),
        ("Orin (nvgpu) NVIDIA Orin Nano Developer Kit", "orin-nano"),
        ("NVIDIA L40S ", None),
        ("NVIDIA L4 ", "l4"),
        ("NVIDIA A100-SXM4-80GB ", "a100"),
        ("NVIDIA A100-SXM4-40GB ", None),
        ("Quadro P400 ", None),
    ],
)
def test_recognised_by_what_it_calls_itself(description: str, name: str | None) -> None:
    found = recognise(description)
    assert (found.name if found else None) == name


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.name)
def test_rows_cite_a_document_and_are_dense(device) -> None:  # type: ignore[no-untyped-def]
    assert any(word in device.source for word in ("heet", "specifications", "Brief", "whitepaper"))
    ceilings = device.ceilings
    assert ceilings.macs_per_second == device.fp16_tflops * 0.5e12
    assert 10 < ceilings.macs_per_second / ceilings.bytes_per_second < 1000
    assert ceilings.value_bytes == 2


def test_the_command_s_help_names_every_row() -> None:
    page = "".join((ROOT / "docs/cli.md").read_text().split())
    assert f"({','.join(DEVICES)})" in page  # lines may break anywhere


def test_derived_rates() -> None:
    """Sparsity doubles a rate, and so does each halving of the word."""
    assert get_device("agx-orin").fp16_tflops == 170 / 4
    assert get_device("orin-nano").fp16_tflops == 40 / 4
    assert get_device("orin-nano-super").fp16_tflops == 67 / 4
    assert get_device("orin-nx").fp16_tflops == pytest.approx(42.5 / 2 * 918 / 1300, abs=0.05)
    assert get_device("thor").fp16_tflops == 2070 / 8
    assert get_device("rtx-4060").fp16_tflops == 242 / 4
    assert get_device("l4").fp16_tflops == 242 / 2
    ada = {"rtx-4060": 242, "rtx-4070": 466, "rtx-4080": 780, "rtx-4090": 1321}
    blackwell = {"rtx-5060": 614, "rtx-5070": 988, "rtx-5080": 1801, "rtx-5090": 3352}
    for tops, parts in ((ada, 4), (blackwell, 8)):
        for name, value in tops.items():
            assert get_device(name).fp16_tflops == pytest.approx(value / parts, abs=0.1)


def test_the_page_has_every_row() -> None:
    page = (ROOT / "docs/tuning.md").read_text()
    for row in DEVICES.values():
        figures = f"{row.fp16_tflops:g} | {row.bandwidth:g} | {row.memory:g}"
        assert f"| `{row.name}` | {figures} | {row.source} | {row.derived} |" in page


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        InputError, match=r"this, cpu, ssh://HOST or one of orin-nano, .*; got 'tpu'"
    ):
        resolve("tpu")


def test_another_s_device_is_modelled_from_its_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "query_gpu", lambda: None)
    target = resolve("orin-nano")
    assert target.measured_on is None
    assert target.ceilings == get_device("orin-nano").ceilings
    assert target.memory_bytes == 8_000_000_000
    assert "DS-11105-001" in target.source


@pytest.mark.parametrize("name", ["this", "cpu"])
def test_without_a_gpu_the_cpu_is_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "query_gpu", lambda: None)
    target = resolve(name)
    assert target.measured_on == "cpu"
    assert target.ceilings is not None
    assert target.ceilings.value_bytes == 4


def _gpu(name: str) -> Gpu:
    return Gpu(name, "9.0", integrated=False, memory_bytes=80 * 10**9, cuda_version=(13, 0))


@pytest.mark.parametrize("name", ["this", "h100"])
def test_this_machine_s_gpu_is_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "query_gpu", lambda: _gpu("NVIDIA H100 80GB HBM3"))
    target = resolve(name)
    assert target.measured_on == "cuda"
    assert target.ceilings == get_device("h100").ceilings


def test_a_gpu_of_which_nothing_is_published_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "query_gpu", lambda: _gpu("NVIDIA RTX 9999"))
    target = resolve("this")
    assert (target.measured_on, target.ceilings) == ("cuda", None)
    assert resolve("h100").measured_on is None


def test_a_gpu_without_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "query_gpu", lambda: _gpu("NVIDIA H100 80GB HBM3"))
    monkeypatch.setattr(targets.backend, "is_installed", lambda _: False)
    with pytest.raises(
        MissingError, match="measured with TensorRT, but tensorrt is not installed here"
    ):
        resolve("this")
    assert resolve("orin-nano").measured_on is None


def test_the_cpu_s_own_ceilings() -> None:
    ceilings = measure_cpu()
    assert 1e8 < ceilings.macs_per_second < 1e14
    assert 1e8 < ceilings.bytes_per_second < 1e13

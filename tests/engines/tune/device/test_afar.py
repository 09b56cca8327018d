"""Through a real sshd, to a Python there that stands where our package would."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edaformer.engines.tune.device import afar
from edaformer.engines.tune.device.costs import Costs
from edaformer.engines.tune.device.targets import resolve
from edaformer.engines.tune.search.rows import Latency
from edaformer.engines.tune.search.trials import Trials
from edaformer.engines.tune.tune import _thinned
from edaformer.errors import GateError, MissingError, RemoteError
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE, ISR
from edaformer.remote.device import Device
from edaformer.version import __version__
from tests.remote.sshd import NAME, Sshd
from tests.remote.stand import built, export, lay, order

HOST = f"ssh://{NAME}"
SETTINGS = [BASE, ISR.parse("16,8,4,1"), ISR.parse("16,8,4,2-2,4,8")]
REFUSED = "edaformer-{} ended with exit code 1: error: attention is not fused"


@pytest.fixture
def stand(orin: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    lay(orin, monkeypatch)
    return orin


def test_settings_are_built_and_measured_there(stand: Sshd, tiny_checkpoint: Checkpoint) -> None:
    steps: list[str] = []
    made = afar.measure_there(tiny_checkpoint, SETTINGS, (64, 96), host=HOST, on_step=steps.append)
    times = [made.latencies[isr].seconds for isr in SETTINGS]
    assert times == pytest.approx([0.001, 0.002, 0.003])
    assert made.refused == {}
    assert made.latencies[BASE] == Latency(0.001, len(str(BASE)), pytest.approx(0.2))
    assert f"building {SETTINGS[1]} on {HOST}, 2 of 3" in steps
    assert steps[-1] == f"measuring 3 settings on {HOST}, taking turns"
    assert stand.left() == []


def test_nothing_is_built_or_measured_twice(
    stand: Sshd, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    target = resolve(HOST)
    for resume in (False, True):
        costs = Costs(tiny_checkpoint, (64, 96), (64, 96), target)
        bound = {"checkpoint": "x"}
        with Trials.open(
            tmp_path / "trials", bound, BASE.places, resume=resume, on_note=print
        ) as trials:
            costs.measure(SETTINGS, trials, print)
        assert set(costs.measured) == set(SETTINGS)
    assert built(stand) == list(map(str, SETTINGS))
    afar.measure_there(tiny_checkpoint, SETTINGS, (64, 96), host=HOST)  # without the trials
    assert built(stand) == list(map(str, SETTINGS))


def test_the_target_says_where(stand: Sshd) -> None:
    target = resolve(HOST)
    assert target.label.endswith(f"at {HOST}")
    assert (target.host, target.measured_on) == (HOST, "cuda")
    assert target.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize("command", ["build", "bench"])
def test_what_is_refused_is_left_out_with_its_reason(
    command: str, stand: Sshd, tiny_checkpoint: Checkpoint
) -> None:
    order(stand, **{command: {str(SETTINGS[1]): 1, str(SETTINGS[2]): "kill"}})
    steps: list[str] = []
    made = afar.measure_there(tiny_checkpoint, SETTINGS, (64, 96), host=HOST, on_step=steps.append)
    assert set(made.latencies) == {BASE}
    assert made.refused[SETTINGS[1]] == REFUSED.format(command)
    assert "killed it for memory" in made.refused[SETTINGS[2]]
    assert "--workspace 0.5" in made.refused[SETTINGS[2]]
    assert all(f"{isr} is left out: {why}" in steps for isr, why in made.refused.items())
    alone = [step for step in steps if step.endswith("measuring each alone")]
    assert len(alone) == (command == "bench")
    assert stand.left() == []


def test_another_desk_is_waited_for(stand: Sshd, tiny_checkpoint: Checkpoint) -> None:
    steps: list[str] = []
    other = Device(NAME)
    other.hold(wait=False)

    def tell(step: str) -> None:
        steps.append(step)
        if step.endswith("waiting"):
            other.close()

    made = afar.measure_there(tiny_checkpoint, SETTINGS[:1], (64, 96), host=HOST, on_step=tell)
    assert set(made.latencies) == {BASE}
    assert len([step for step in steps if f"{HOST} is in use by " in step]) == 1


def test_an_export_that_does_not_verify_is_left_out(
    stand: Sshd, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(checkpoint: object, options: Any, folder: Path, *, build: bool) -> Path:
        if options.isr != BASE:
            raise GateError("0.1 apart where 0.01 is allowed")
        return export(checkpoint, options, folder, build=build)

    monkeypatch.setattr(afar, "make_artifact", refuses)
    made = afar.measure_there(tiny_checkpoint, SETTINGS[:2], (64, 96), host=HOST)
    assert set(made.latencies) == {BASE}
    assert made.refused == {SETTINGS[1]: "0.1 apart where 0.01 is allowed"}


@pytest.mark.parametrize("code", [2, 3])
def test_what_would_meet_every_setting_ends_it(
    code: int, stand: Sshd, tiny_checkpoint: Checkpoint
) -> None:
    order(stand, build={str(SETTINGS[0]): code})
    with pytest.raises(GateError, match=rf"exit code {code}: .* mend that; .* --resume"):
        afar.measure_there(tiny_checkpoint, SETTINGS, (64, 96), host=HOST)
    assert built(stand) == [str(BASE)]


def test_without_base_there_is_no_search(
    stand: Sshd, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    order(stand, build={str(BASE): 1})
    costs = Costs(tiny_checkpoint, (64, 96), (64, 96), resolve(HOST))
    path = tmp_path / "trials"
    with (
        Trials.open(path, {}, BASE.places, resume=False) as trials,
        pytest.raises(GateError, match=rf"cannot be measured on {HOST}: {REFUSED.format('build')}"),
    ):
        costs.measure([BASE], trials, print)


def test_a_device_without_our_package_is_said(stand: Sshd) -> None:
    python = stand.home / "edaformer/bin/python"
    python.write_text(python.read_text().replace(__version__, "0.0.9"))
    with pytest.raises(MissingError, match=f"edaformer-device {HOST} ask --install"):
        resolve(HOST)


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs ssh (Debian: openssh-client)")
def test_nobody_there() -> None:
    with pytest.raises(RemoteError, match="no host of that name"):
        resolve("ssh://nobody.invalid")


def test_how_many_are_built_is_bounded() -> None:
    every = [ISR.parse(f"{a},{b},{c},1") for a in (8, 16, 32, 64) for b in (4, 8, 16, 32)
             for c in (2, 4, 8)]  # fmt: skip
    few = _thinned(every, {every[5]}, every[7], afar.MOST_BUILT)
    assert len(few) == afar.MOST_BUILT
    assert {every[5], every[7], every[0], every[-1]} <= set(few)
    assert _thinned(every[:4], (), None, afar.MOST_BUILT) == every[:4]

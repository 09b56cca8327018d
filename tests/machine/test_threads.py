"""Threads: how many, and that they sleep; what a program of one's own is left with."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from edaformer.errors import InputError
from edaformer.machine.cores import usable
from edaformer.machine.threads import threads
from tests.conftest import ROOT

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS",
            "MKL_NUM_THREADS")  # fmt: skip
CODE = """
import json, os, sys
import edaformer
made = edaformer.share_cores(%s)
import torch
print(json.dumps([made, torch.get_num_threads(),
                  *(os.environ.get(name) for name in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME"))]))
"""


def ran(code: str, **variables: str) -> list[object]:
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=clean | {"PYTHONPATH": str(ROOT)} | variables,
    )  # fmt: skip
    made: list[object] = json.loads(done.stdout)
    return made


def test_as_asked_as_said_or_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads() == usable()
    assert threads(7) == 7
    own = usable()
    for said, expected in (("3", 3), ("4,2", 4), ("0", own), ("many", own), ("", own),
                           ("99999", 1024), ("9" * 5000, own)):  # fmt: skip
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert threads() == expected
        assert threads(7) == 7
    for wrong in (0, -1, 1025):
        with pytest.raises(InputError, match=f"expected --threads of 1 to 1024, got {wrong}"):
            threads(wrong)


@pytest.mark.parametrize("number", [1, 3])
def test_pytorch_computes_with_so_many(number: int) -> None:
    assert ran(CODE % number) == [number, number, "passive", "0"]


def test_who_says_how_to_wait_is_heard() -> None:
    assert ran(CODE % 1, OMP_WAIT_POLICY="active") == [1, 1, "active", None]
    assert ran(CODE % 1, GOMP_SPINCOUNT="100") == [1, 1, None, None]
    assert ran(CODE % None, OMP_NUM_THREADS="3") == [3, 3, "passive", "0"]


def test_afterwards_the_number_alone_changes() -> None:
    assert ran("import torch\n" + CODE % 3)[:2] == [3, 3]


def test_nothing_is_changed_that_nobody_asked_to() -> None:
    code = """
import json, os
before = dict(os.environ)
import edaformer, edaformer.export.runtime, edaformer.families.table, edaformer.cli.main
changed = {name for name in os.environ if os.environ[name] != before.get(name)}
print(json.dumps(sorted(changed)))
"""
    told = ran(code, ORT_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_TELEMETRY="1")
    assert told == []

"""The witness frames are asked the first time that a plan meets a GPU, driver and TensorRT.

What they found is kept beside the plan, as the runtime cache is; only "right" is. Another plan,
GPU, driver, TensorRT or version of this tool is asked anew.
"""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from edaformer.engines.artifact.plan import Plan
from edaformer.errors import GateError, InputError
from edaformer.files import write_whole
from edaformer.labels.witness import (
    Frame,
    Labels,
    Trial,
    missing_witness,
    read_witness,
    try_frames,
)
from edaformer.manifest import Manifest
from edaformer.version import __version__

_log = logging.getLogger(__name__)
Asking = Literal["once", "always", "never"]


class Witness:
    """Whether a plan computes its network here."""

    def __init__(self, plan: Plan, manifest: Manifest, verdict: Path, machine: str) -> None:
        """Nothing asked yet.

        Args:
            plan: as loaded.
            manifest: its own.
            verdict: where a verdict is kept.
            machine: GPU, driver and TensorRT, in words.
        """
        self._plan, self._manifest, self._verdict = plan, manifest, verdict
        self._kept = json.dumps(
            {
                "verdict": "right",
                "witness": manifest.witness_sha256,
                "plan": plan.sha256,
                "machine": machine,
                "by": f"edaformer-deploy {__version__}",
            }
        ).encode()

    def ask(self, asking: Asking, segment: Callable[[Frame], Labels]) -> str:
        """In a few words, what is known of the plan now.

        Args:
            asking: ``once`` relies on a verdict that is kept, ``always`` does not, ``never`` asks
                nothing.
            segment: a frame of the network's size to its labels.

        Raises:
            GateError: if a label flipped that rounding does not explain.
            DataError: if the witness file is damaged, or another plan's.
        """
        if asking == "never":
            return "witness not asked"
        if asking == "once" and self._is_kept():
            return "witness right before"
        known = read_witness(self._plan.path, self._manifest)
        if known is None:
            _log.info("%s", missing_witness(self._plan.path, self._manifest))
            return "no witness"
        try:
            trial = try_frames(known, segment)
        except InputError as error:
            if not self._manifest.input.dynamic_size:
                raise
            return f"witness not asked: its frames are outside the plan's bounds ({error})"
        self._judge(trial)
        return "witness right"

    def _judge(self, trial: Trial) -> None:
        path = self._plan.path
        if not trial.right:
            quoted = shlex.quote(str(path))
            raise GateError(
                f"{path} does not compute its network on this machine: {trial.worst}. See it with "
                f"edaformer-check {quoted} --run, and build the model from an export with "
                "--attention unfused; Engine.load(..., witness='never') loads it all the same"
            )
        try:
            write_whole(self._verdict, self._kept)
        except InputError as error:
            _log.warning("the witness is asked again at the next load: %s", error)

    def _is_kept(self) -> bool:
        try:
            return self._manifest.witness_sha256 is not None and (
                self._verdict.read_bytes() == self._kept
            )
        except OSError:
            return False

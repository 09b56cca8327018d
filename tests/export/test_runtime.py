from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edaformer.errors import InputError
from edaformer.export import runtime
from edaformer.export.runtime import OnnxSession, cuda_available


def test_runs_by_name(traced: bytes, one_image: np.ndarray) -> None:
    session = OnnxSession(traced)
    assert (session.input_name, session.output_names) == ("image", ["labels", "logits"])
    frugal = OnnxSession(traced, frugal=True).run({"image": one_image})
    made = session.run({"image": one_image})
    assert (made["labels"] == frugal["labels"]).all()


def test_threads_sleep_while_they_wait_unless_they_are_timed(
    traced: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    own = OnnxSession(traced).session.get_session_options()
    assert own.intra_op_num_threads == 3
    assert own.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    timed = OnnxSession(traced, threads=2, eager=True).session.get_session_options()
    assert timed.intra_op_num_threads == 2
    with pytest.raises(RuntimeError, match="allow_spinning"):  # ONNX Runtime's own default
        timed.get_session_config_entry("session.intra_op.allow_spinning")


def test_runs_every_gelu_as_one_kernel_and_no_slow_ones(
    traced: bytes, one_image: np.ndarray, tmp_path: Path
) -> None:
    """Ten MLPs, and the decoder's six attentions; what ONNX Runtime fuses is in its own profile."""
    session = OnnxSession(traced, profile=str(tmp_path / "profile"))
    session.run({"image": one_image})
    events = json.loads(Path(session.end_profile()).read_text())
    ran = Counter(event["args"].get("op_name") for event in events if event["cat"] == "Node")
    assert ran["Gelu"] == 10 + 6
    assert not {"Erf", "SkipLayerNormalization"} & set(ran)


@pytest.mark.parametrize("model", [b"", b"text", "no/such/file.onnx"])
def test_what_does_not_load_is_one_sentence(model: bytes | str) -> None:
    with pytest.raises(InputError, match="ONNX Runtime cannot load this model") as caught:
        OnnxSession(model)
    assert "\n" not in str(caught.value)


def test_cuda_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "gpu_visible", lambda: False)
    assert not cuda_available()

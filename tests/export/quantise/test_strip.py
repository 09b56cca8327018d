from __future__ import annotations

from collections import Counter

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edaformer.errors import InputError
from edaformer.export.exporter import ExportResult
from edaformer.export.quantise.strip import _float8, half_twin
from edaformer.export.runtime import OnnxSession
from edaformer.export.twin import rounding_twin
from edaformer.export.verify import natural_noise
from tests.eight import INT8


def test_every_pattern_of_eight_bits_is_read() -> None:
    codes = np.arange(256, dtype=np.uint8)
    wanted = codes.view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    finite = np.isfinite(wanted)
    assert (_float8(codes)[finite] == wanted[finite]).all()


def test_the_twin_is_the_graph_in_half_precision(int8_export: ExportResult) -> None:
    own = int8_export.path.read_bytes()
    made = half_twin(own)
    model = onnx.load_from_string(made)
    onnx.checker.check_model(model, full_check=True)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(kinds)
    before = Counter(node.op_type for node in onnx.load_from_string(own).graph.node)
    assert kinds == Counter(
        {k: n for k, n in before.items() if k not in {"QuantizeLinear", "DequantizeLinear"}}
    )
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert not {"int8", "float8_e4m3fn"} & {str(array.dtype) for array in held.values()}
    image = natural_noise(1, INT8.size)
    labels = [
        OnnxSession(rounding_twin(data)).run({"image": image})["labels"] for data in (own, made)
    ]
    assert (labels[0] == labels[1]).mean() > 0.8  # random weights: hardly a pixel is decided


def test_a_damaged_graph_is_refused(int8_export: ExportResult) -> None:
    data = int8_export.path.read_bytes()
    with pytest.raises(InputError, match="the ONNX model is damaged"):
        half_twin(data[: len(data) // 2])

"""Checkpoints as training loops and downloads leave them."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import types
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

State = dict[str, torch.Tensor]
CFG = """
crop_size = (384, 512)
data_preprocessor = dict(
    bgr_to_rgb=True, mean=[120.5, 115.0, 100.0], std=[60.0, 59.0, 58.0], pad_val=0,
    size=crop_size, type='SegDataPreProcessor')
model = dict(type='EncoderDecoder', data_preprocessor=data_preprocessor,
             backbone=dict(norm_cfg=dict(type='BN', requires_grad=True)))
load_from = __import__('os').system('exit 3')
"""


def foreign(name: str, bases: tuple[type, ...] = (object,), **content: Any) -> Any:
    """A class of a package that the reader does not have: it is gone once it is pickled."""
    module, _, title = name.rpartition(".")
    kind = type(title, bases, {"__module__": module, "__qualname__": title, **content})
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):  # its packages, for pickle to find it in
        sys.modules[".".join(parts[:depth])] = types.ModuleType(parts[depth - 1])
    setattr(sys.modules[module], title, kind)
    return kind


def forget(package: str) -> None:
    """As on the reader's machine."""
    for module in [m for m in sys.modules if m == package or m.startswith(f"{package}.")]:
        del sys.modules[module]


def mmengine(path: Path, state: State, cfg: str = CFG, **dataset_meta: Any) -> Path:
    """mmengine 1.x: a HistoryBuffer with its own methods in it (open-mmlab/mmengine #1626)."""

    def state_of(buffer: Any) -> dict[str, Any]:
        """What HistoryBuffer pickles: NumPy arrays, and its statistics as getattr(class, name)."""
        return {"_log_history": np.ones(3), "statistics_methods": {"min": type(buffer).min}}

    kind = foreign("mmengine.logging.history_buffer.HistoryBuffer", __getstate__=state_of,
                   min=lambda buffer: 0)  # fmt: skip
    kind.min.__qualname__, kind.min.__module__ = "HistoryBuffer.min", kind.__module__
    scalars = OrderedDict({"train/loss": kind()})
    torch.save(
        {
            "meta": {"cfg": cfg, "dataset_meta": dataset_meta, "mmengine_version": "0.10.7"},
            "state_dict": OrderedDict(state),
            "message_hub": {"log_scalars": scalars, "runtime_info": {"iter": 160000}},
            "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-4}]},
        },
        path,
    )
    forget("mmengine")
    return path


def lightning(path: Path, state: State, prefix: str = "net.") -> Path:
    """Lightning: hyper-parameters in a dict of its own (Lightning-AI/pytorch-lightning #20058)."""
    attributes = foreign("lightning.fabric.utilities.data.AttributeDict", (dict,))
    torch.save(
        {
            "epoch": 3, "pytorch-lightning_version": "2.4.0",
            "state_dict": {prefix + key: value for key, value in state.items()},
            "hyper_parameters": attributes(lr=1e-3, where=Path("/data"), seen={1, (2, 3)}),
            "callbacks": {"best": defaultdict(list, {"a": [1.0]})},
        },
        path,
    )  # fmt: skip
    forget("lightning")
    return path


def averaged(path: Path, state: State) -> Path:
    """torch.optim.swa_utils.AveragedModel's state dict."""
    counted = {"n_averaged": torch.tensor(7)}
    torch.save(counted | {f"module.{key}": value for key, value in state.items()}, path)
    return path


def legacy(path: Path, content: object) -> Path:
    """As torch.save wrote before 1.6."""
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def flip_bit(path: Path, record: str) -> Path:
    """One bit in one record of a torch.save archive, as a bad disk or download leaves it."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        at = next(i.header_offset for i in archive.infolist() if i.filename.endswith(record))
    lengths = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (26, 28))
    data[at + 30 + sum(lengths) + 1] ^= 1  # 30: the local header, then name and extra field
    path.write_bytes(bytes(data))
    return path


def torchscript(path: Path) -> Path:
    """torch.jit.save."""
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), str(path))
    return path


def exported_program(path: Path) -> Path:
    """torch.export.save."""
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), path)
    return path


def tar(path: Path) -> Path:
    """A tar archive with a file in it."""
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("model/model.pth")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    return path


LFS = b"""version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 15242180
"""
PAGE = b'\n<!DOCTYPE html><html lang="en"><head><title>Google Drive - Virus scan warning</title>'
S3 = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.9.0:\x00"
PLAN = b"ftrt" + bytes(60)


def shards(folder: Path, weight_map: object) -> Path:
    """A Hugging Face folder whose weights are named by an index."""
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder

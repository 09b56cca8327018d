"""The sound files, each a few kilobytes: a network of eight channels, pictures of 16 by 24."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.edaformer.sizes import VARIANTS, Variant
from edaformer.isr import ISR
from edaformer.manifest import ONNX_KEY, EngineRecord, Manifest, network_name
from tests.standins.network import Kind, make_manifest, make_model
from tests.tiny import shaken

CLASSES = ("road", "sky", "tree", "car", "sign")
SIZE = (60, 92)  # of the network
PICTURE = (16, 24)
ATOM = Variant("tiny", (8, 8, 16, 16), (1, 1, 1, 1), 1, 2, 8)  # the stand-in's manifest says tiny
LOOSE = ("--min-agreement", "0", "--max-miou-drop", "100", "--trust-labels")


def know_atom() -> None:
    """Loaders find the smallest network as they find T and B: by its widths."""
    VARIANTS.setdefault(ATOM.name, ATOM)


@cache
def atom() -> EDAFormer:
    """The network."""
    return shaken(EDAFormer(ATOM, len(CLASSES), ISR.parse("base")), 1)


def picture(seed: int = 0, size: tuple[int, int] = PICTURE) -> np.ndarray[Any, Any]:
    """Seeded pixels, smooth enough for JPEG."""
    dice = np.random.default_rng(seed)
    coarse = dice.integers(0, 256, (size[0] // 4, size[1] // 4, 3), np.uint8)
    return coarse.repeat(4, axis=0).repeat(4, axis=1)


def labels(seed: int = 0, size: tuple[int, int] = PICTURE) -> np.ndarray[Any, Any]:
    """Seeded labels of the five classes."""
    return (picture(seed, size)[:, :, 0] % len(CLASSES)).astype(np.uint8)


def lay_pth(path: Path, *, zipped: bool = True) -> None:
    """As training writes it, with names and a palette."""
    import torch

    meta = {
        "CLASSES": CLASSES, "PALETTE": [[9 * i, 5, 250 - i] for i in range(5)],
        "config": "crop_size = (60, 92)", "epoch": 3,
    }  # fmt: skip
    content = {"meta": meta, "state_dict": atom().state_dict()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


def lay_safetensors(path: Path) -> None:
    """Ours."""
    from edaformer.families.edaformer.loader import save_checkpoint

    save_checkpoint(path, atom(), classes=CLASSES, input_size=SIZE)


def lay_folder_data(root: Path, count: int = 2) -> None:
    """Pictures with truth."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for index in range(count):
        Image.fromarray(picture(index, SIZE)).save(root / f"images/{index}.png")
        Image.fromarray(labels(index, SIZE)).save(root / f"labels/{index}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES))


def lay_onnx(path: Path, checkpoint_sha256: str = "0" * 64, *, half: bool = False) -> Manifest:
    """An export that averages and decides, with its manifest and its witness."""
    from edaformer.files import sha256
    from edaformer.labels.witness import witness_path

    kind = Kind(outputs=("labels", "logits"), size=SIZE, isr="8,4,2,1-1,2,4", half=half)
    own = {"checkpoint_sha256": checkpoint_sha256, "classes": CLASSES}
    manifest = make_manifest(kind).model_copy(
        update=own | {"precision": "fp16" if half else "fp32"}
    )
    write_model(kind, manifest, path)
    data = witness(path, manifest)
    witness_path(path).write_bytes(data)
    manifest = manifest.model_copy(update={"witness_sha256": sha256(witness_path(path))})
    write_model(kind, manifest, path)
    return manifest


def write_model(kind: Kind, manifest: Manifest, path: Path) -> None:
    """As the exporter stores a manifest."""
    model = make_model(kind)
    entry = model.metadata_props.add()
    entry.key, entry.value = ONNX_KEY, manifest.model_dump_json(exclude_none=True)
    path.write_bytes(model.SerializeToString())


def witness(path: Path, manifest: Manifest) -> bytes:
    """Two frames and what the export itself makes of them."""
    from edaformer.engines.segmenters.onnx import OnnxSegmenter
    from edaformer.labels.witness import Known, coarse, witness_bytes

    segmenter = OnnxSegmenter(path, provider="cpu")
    known = []
    for seed in range(2):
        frame = picture(seed, SIZE)
        margin = coarse(np.full(SIZE, 2.0), 0.1)
        known.append(Known(f"frame {seed}", frame, segmenter.segment(frame[None])[0], margin, 0.1))
    return witness_bytes(
        tuple(known), checkpoint_sha256=manifest.checkpoint_sha256, isr=manifest.isr
    )


def lay_plan(path: Path) -> None:
    """What is read of a plan: its header and its network's name; TensorRT's own bytes are noise."""
    import hashlib

    from edaformer.engines.artifact.plan import write_plan

    manifest = lay_onnx(path.with_suffix(".onnx"))
    manifest = manifest.model_copy(
        update={"onnx_sha256": hashlib.sha256(path.with_suffix(".onnx").read_bytes()).hexdigest()}
    )
    noise = np.random.default_rng(7).integers(0, 256, 3000, np.uint8).tobytes()
    head = b"vtrt" + bytes(20) + bytes([1, 7, 1, 116]) + bytes(4)
    data = head + noise[:500] + network_name(manifest).encode() + b"\0" + noise[500:]
    record = EngineRecord(
        flavour="tensorrt-rtx", version="1.7.1.116", compute_capabilities=("8.9",),
        flags=("STRONGLY_TYPED",), workspace_bytes=1 << 30, warnings=("none",),
        plan_sha256=hashlib.sha256(data).hexdigest(), plan_bytes=len(data),
    )  # fmt: skip
    write_plan(path, data, manifest.model_copy(update={"engine": record}))
    path.with_name(f"{path.name}.witness").write_bytes(
        path.with_name(f"{path.stem}.onnx.witness").read_bytes()
    )


def lay_video(path: Path, codec: str) -> None:
    """Four frames."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, (SIZE[1], SIZE[0]))
    for seed in range(4):
        writer.write(picture(seed, SIZE))
    writer.release()

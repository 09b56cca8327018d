"""What a reader of the pages has: the files under the pages' names, and the snippets' variables.

Each is made when a block first names it, once a run, and copied into the page's folder. All are
small: a network of ten blocks with random weights, four drawn scenes whose truth is nine tenths of
what that network says of them.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

SIZE = (360, 480)
SCENES = 4
EXPORT = "export edaformer_t.pth --isr 16,8,4,1 --size 360x480 -o model.onnx"
BUILD = "build model.onnx -o model.plan"
REFERENCE = ("validate --save-reference street.ref --checkpoint edaformer_t.pth --isr 16,8,4,1 "
             "--size 360x480 --data camvid:CamVid")  # fmt: skip
_MADE = re.compile(r"(?:-o|--output|--video|--stats|--report|--save-reference)[ =](\S+)")

# What a page's snippets take as given, and say so in words; "" is for every page
VARIABLES = {
    "": """
import numpy as np
from PIL import Image
frame = np.asarray(Image.open("street.jpg"))
""",
    "docs/checkpoints.md": """
import torch
from edaformer.data.scenes import CLASSES as names
from tests.tiny import tiny_model
model = tiny_model("base", 11)
""",
    "docs/jetson.md": """
import numpy as np
from edaformer import Engine
from examples.camera import frames
plan, source = "model.plan", "street.mp4"
""",
}


@dataclass(frozen=True)
class Kit:
    """Where the files are made; plans are those of a place, all else is for both."""

    folder: Path
    place: str  # "here" or "device"
    typed: Callable[[str, Path], None]  # runs a command line of the package in a folder

    def give(self, text: str, folder: Path) -> None:
        """Put into ``folder`` what the text names, reads, and does not have yet."""
        for name in MAKERS:
            mention = MENTIONS.get(name, name)
            spoken = re.search(rf"(?<![\w./-]){re.escape(mention)}(?![\w-]|\.\w)", text)
            if spoken and name not in _MADE.findall(text) and not (folder / name).exists():
                self.copy(name, folder)

    def need(self, *names: str, beside: Path) -> None:
        """For a maker: other files, in the folder it works in."""
        for name in names:
            self.copy(name, beside)

    def copy(self, name: str, folder: Path) -> None:
        """A file or folder, made if it is not there yet, with what lies beside it."""
        home = self.folder / (self.place if name in OF_A_PLACE else "both")
        made = home / name
        made.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{home}-{name.replace('/', '-')}.lock"):
            if not made.exists():
                MAKERS[name](self, made)
        if folder == home:
            return
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if made.is_dir():
            shutil.copytree(made, folder / name)
            return
        for path in made.parent.glob(f"{made.name}*"):
            shutil.copy(path, (folder / name).parent)


def _checkpoint(kit: Kit, path: Path) -> None:
    import torch

    from edaformer.data.scenes import CLASSES, PALETTE
    from tests.tiny import tiny_model

    meta = {"classes": CLASSES, "palette": PALETTE}
    torch.save({"state_dict": tiny_model("base", len(CLASSES)).state_dict(), "meta": meta}, path)


def _segformer(kit: Kit, path: Path) -> None:
    from edaformer.data.scenes import CLASSES
    from tests.families.segformer.hugging import save_folder

    save_folder(path, {"do_resize": False}, id2label=dict(enumerate(CLASSES)))


def _mmseg(kit: Kit, path: Path) -> None:
    from tests.families.segformer.formats.projects import mmseg_model, save

    model = mmseg_model(width=32, heads=(1, 2, 5, 8), depths=(2, 2, 2, 2), channels=256, classes=19)
    save(path, model.state_dict())


def _feedformer(kit: Kit, path: Path) -> None:
    from edaformer.families.feedformer.sizes import FEEDFORMERS
    from tests.families.feedformer.published import published_names, save
    from tests.tiny import tiny_feedformer

    b0 = FEEDFORMERS["feedformer-b0"]
    save(path, published_names(tiny_feedformer(b0, num_classes=150)))


def _scenes() -> list[np.ndarray]:
    from edaformer.data import open_dataset

    return [sample.image for sample in open_dataset(f"scenes:{SCENES}", SIZE)]


def _data(kit: Kit, path: Path, images: str, labels: str) -> None:
    from edaformer.data.scenes import CLASSES
    from tests.folder import lay_folder, nearly_right
    from tests.tiny import tiny_model

    model = tiny_model("base", len(CLASSES))
    lay_folder(path, nearly_right(model, np.stack(_scenes()), len(CLASSES)), CLASSES)
    if (images, labels) != ("images", "labels"):
        (path / "images").rename(path / images)
        (path / "labels").rename(path / labels)
        (path / "classes.txt").unlink()


def _picture(kit: Kit, path: Path) -> None:
    Image.fromarray(_scenes()[0]).save(path)


def _video(kit: Kit, path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for scene in _scenes():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene, format="rgb24")))
        container.mux(stream.encode())


def _typed(kit: Kit, path: Path, line: str, *needs: str) -> None:
    kit.need(*needs, beside=path.parent)
    kit.typed(line, path.parent)


def _same(kit: Kit, path: Path, of: str) -> None:
    """Another name for what another page calls by its own."""
    kit.need(of, beside=path.parent)
    for source in path.parent.glob(f"{of}*"):
        shutil.copy(source, path.parent / f"{path.name}{source.name.removeprefix(of)}")


def _ladder(kit: Kit, path: Path) -> None:
    (path / "ladder").mkdir(parents=True)
    kit.need("model.plan", beside=path / "ladder")
    rungs = [{"isr": isr, "artifact": "model.plan"} for isr in ("16,8,4,1-1,2,4", "paper")]
    index = {"schema_version": 1, "size": SIZE, "rungs": rungs}
    (path / "ladder" / "ladder.json").write_text(json.dumps(index))


Maker = Callable[[Kit, Path], None]
MAKERS: dict[str, Maker] = {
    "edaformer_t.pth": _checkpoint,
    "edaformer_t_camvid.pth": partial(_same, of="edaformer_t.pth"),  # the same bytes: hashes count
    "model.pth": partial(_same, of="edaformer_t.pth"),
    "mine.pth": partial(_same, of="edaformer_t.pth"),
    "segformer_b0_camvid": _segformer,
    "segformer-b0-finetuned-ade-512-512": _segformer,
    "segformer_mmseg.pth": _mmseg,
    "feedformer_b0_ade.pth": _feedformer,
    "CamVid": partial(_data, images="val", labels="valannot"),
    "street": partial(_data, images="images", labels="labels"),
    "street.jpg": _picture,
    "street.png": _picture,
    "street.mp4": _video,
    "model.onnx": lambda kit, path: _typed(kit, path, EXPORT, "edaformer_t.pth"),
    "new.onnx": partial(_same, of="model.onnx"),
    "street.ref": lambda kit, path: _typed(kit, path, REFERENCE, "edaformer_t.pth", "CamVid"),
    "model.plan": lambda kit, path: _typed(kit, path, BUILD, "model.onnx"),
    "tuning": _ladder,
}
# Where a name alone says too little
MENTIONS = {"street": "folder:street", "tuning": "tuning/ladder/ladder.json"}
OF_A_PLACE = {"model.plan", "tuning"}

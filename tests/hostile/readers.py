"""Every reader of untrusted bytes: functions for what is cheap, commands for the way users go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from edaformer.data import Sample
from edaformer.isr import BASE, ISR
from tests.hostile import devices, options, sound
from tests.hostile.damage.documents import HEADERS, JSONS
from tests.hostile.damage.plain import PLAIN
from tests.hostile.damage.pngs import PNGS
from tests.hostile.damage.protobuf import PROTOBUFS
from tests.hostile.damage.rows import ROWS
from tests.hostile.damage.zips import RESEALED, ZIPS
from tests.hostile.reader import FindError, Reader, command, digest

PICTURES = ("png", "jpg", "bmp", "webp", "ppm", "jp2", "avif", "tga", "qoi")
ANIMATIONS = ("apng", "gif", "webp", "tif", "avif")
BOUND = {"checkpoint": "a" * 64, "size": "32x48"}
COUNTS = np.arange(1, 16, dtype=np.int64).reshape(3, 5)


def _picture(suffix: str) -> Callable[[Path], None]:
    return lambda folder: Image.fromarray(sound.picture()).save(folder / f"x.{suffix}")


def _animation(suffix: str) -> Callable[[Path], None]:
    frames = [Image.fromarray(sound.picture(seed)) for seed in range(3)]
    return lambda folder: frames[0].save(
        folder / f"x.{suffix}", save_all=True, append_images=frames[1:]
    )


def _deep(folder: Path) -> None:
    deep = np.arange(384, dtype=np.uint16).reshape(sound.PICTURE) * 170
    Image.fromarray(deep).save(folder / "x.png")


def _read_picture(folder: Path) -> str:
    """As run and validate read it, which agree on the first frame."""
    from edaformer.data.datasets import read_image
    from edaformer.media.inputs import find_sources

    (source,) = find_sources([str(folder)], size=sound.SIZE)
    frames = [frame.pixels for frame in source.frames()]
    if len(frames) == 1 and not np.array_equal(read_image(Path(source.name)).pixels, frames[0]):
        raise FindError("run and validate see two pictures in one file")
    return digest(*frames)


def _read_data(folder: Path) -> str:
    from edaformer.data import open_dataset

    data = open_dataset(f"folder:{folder}", sound.SIZE)
    return digest(data.classes, *(part for one in data for part in (one.image, one.labels)))


def _video(codec: str, suffix: str) -> Callable[[Path], None]:
    return lambda folder: sound.lay_video(folder / f"x.{suffix}", codec)


def _read_video(folder: Path) -> str:
    from edaformer.media.inputs import find_sources

    (source,) = find_sources([str(folder)], size=sound.SIZE)
    return digest(source.count, *(frame.pixels for frame in source.frames()))


def _read_checkpoint(folder: Path) -> str:
    from edaformer.families.table import load_checkpoint

    (path,) = (path for path in folder.iterdir() if not path.name.startswith("."))
    loaded = load_checkpoint(path)
    loaded.model()
    return digest(loaded.classes, loaded.palette, loaded.input_size)


def _adapting(folder: Path) -> None:
    import torch

    from edaformer.engines.adapt.result import Examined
    from edaformer.engines.adapt.state import State

    state = State(dict(BOUND), 20, step=4)
    state.add(Examined(4, (0.9,)), torch.nn.Linear(12, 5))
    state.write(folder / "m.pth.adapting")


def _read_adapting(folder: Path) -> str:
    from edaformer.engines.adapt.state import read_state

    state = read_state(folder / "m.pth.adapting", BOUND)
    return digest(state.step, state.exams, state.best["weight"].numpy())


def _hugging(folder: Path) -> None:
    from tests.families.segformer.hugging import hugging_model

    small = {"hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2],
             "depths": [1, 1, 1, 1], "decoder_hidden_size": 8}  # fmt: skip
    hugging_model(**small).save_pretrained(folder / "model", max_shard_size="20KB")
    content = {"image_mean": [0.5] * 3, "image_std": [0.2] * 3, "size": {"height": 60, "width": 92}}
    (folder / "model/preprocessor_config.json").write_text(json.dumps(content))


def _project(name: str) -> Callable[[Path], None]:
    """A SegFormer as another project writes it."""

    def lay(folder: Path) -> None:
        from tests.families.segformer.formats.projects import HEADS_TOLD, save, smallest_states

        save(folder / "m.pth", smallest_states()[name], meta=HEADS_TOLD)

    return lay


def _feedformer(folder: Path) -> None:
    from edaformer.families.feedformer.sizes import FeedFormerSizes
    from tests.families.feedformer.published import published_names, save
    from tests.tiny import tiny_feedformer

    sizes = FeedFormerSizes((8, 10, 10, 16), (1, 1, 1, 1), 8, heads=(1, 2, 5, 8),
                            mlp_ratios=(1, 1, 1, 1))  # fmt: skip
    told = "model = dict(backbone=dict(type='mit', num_heads=[1, 2, 5, 8]))"
    save(folder / "m.pth", published_names(tiny_feedformer(sizes)), told)


def _upernet(folder: Path) -> None:
    from tests.families.convolutional.hugging import upernet

    small = {"hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2],
             "depths": [1, 1, 1, 1], "mlp_ratios": [1, 1, 1, 1]}  # fmt: skip
    made = upernet(small, hidden_size=8, use_auxiliary_head=False)
    made.save_pretrained(folder / "model", max_shard_size="20KB")


def _decoder(folder: Path) -> None:
    """A small network of convolutions' decoder as segmentation_models_pytorch writes it."""
    from edaformer.families.convolutional.unet import SMP, Unet
    from tests.families.convolutional.smp_networks import UNET, save, their_state, tiny_network
    from tests.families.segformer.formats.projects import HEADS_TOLD

    sizes = replace(UNET, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 2, 2),
                    decoder=Unet((8, 8, 8, 8, 8)), mlp_ratios=(1, 1, 1, 1))  # fmt: skip
    save(folder / "m.pth", their_state(tiny_network(sizes), SMP.formats()[1]), meta=HEADS_TOLD)


def _smp_folder(folder: Path) -> None:
    """Of the smallest encoder that the configuration can name."""
    from safetensors.torch import save_file

    from tests.families.segformer.formats.projects import nvlabs_state, smp_state
    from tests.families.segformer.hugging import hugging_model

    sizes = {"hidden_sizes": [32, 64, 160, 256], "num_attention_heads": [1, 2, 5, 8],
             "depths": [2, 2, 2, 2], "decoder_hidden_size": 8, "mlp_ratios": [4] * 4}  # fmt: skip
    state = smp_state(nvlabs_state(hugging_model(**sizes)))
    (folder / "model").mkdir()
    save_file({name: value.half() if value.is_floating_point() else value
               for name, value in state.items()}, folder / "model/model.safetensors")  # fmt: skip
    content = {
        "_model_class": "Segformer", "activation": None, "aux_params": None, "classes": 5,
        "decoder_segmentation_channels": 8, "encoder_depth": 5, "encoder_name": "mit_b0",
        "encoder_weights": None, "in_channels": 3, "upsampling": 4,
    }  # fmt: skip
    (folder / "model/config.json").write_text(json.dumps(content))


def _onnx(folder: Path) -> None:
    sound.lay_onnx(folder / "x.onnx")


def _onnx_and_picture(folder: Path) -> None:
    _onnx(folder)
    Image.fromarray(sound.picture()).save(folder / "p.png")


def _plan(folder: Path) -> None:
    sound.lay_plan(folder / "x.plan")


def _plan_alone(folder: Path) -> None:
    _plan(folder)
    (folder / "x.plan.json").unlink()


def _read_plan(folder: Path) -> str:
    """Three commands; whoever believes anything believes the same."""
    from edaformer.engines.artifact.plan import read_plan
    from edaformer.engines.build.rebuild import recorded_build

    read = read_plan(folder / "x.plan")
    manifest = read.known_manifest()
    told = [repr(read).replace(str(folder), ""), manifest.model_dump_json()]
    if read.has_sidecar:
        told.append(repr(recorded_build(folder / "x.plan.json", None)).replace(str(folder), ""))
    return "\n".join(told)


def _read_witness(folder: Path) -> str:
    from edaformer.engines.artifact.kind import artifact_manifest
    from edaformer.labels.witness import read_witness

    path = folder / "x.onnx"
    known = read_witness(path, artifact_manifest(path))
    assert known is not None
    return digest(*(part for one in known for part in (
        one.name, one.frame, one.labels, one.margin, one.tolerance)))  # fmt: skip


def _reference(folder: Path) -> None:
    """By the command itself; the export then claims that checkpoint."""
    from edaformer.files import sha256

    sound.lay_safetensors(folder / "m.safetensors")
    sound.lay_folder_data(folder / "data")
    sound.lay_onnx(folder / "x.onnx", sha256(folder / "m.safetensors"))
    command(folder, "validate", folder / "x.onnx", "--checkpoint", folder / "m.safetensors",
            "--data", f"folder:{folder / 'data'}", *sound.LOOSE, "--save-reference",
            folder / "x.ref", "--cache", folder / "cache")  # fmt: skip


def _read_reference(folder: Path) -> str:
    from edaformer.engines.validate.saved import SavedAnswers

    with SavedAnswers(folder / "x.ref", workers=0) as saved:
        made = [part for sample, answers in saved.answered() for part in (
            sample.image, sample.labels, answers.base, answers.reference)]  # fmt: skip
        return digest(saved.setting, *made)


def _samples(folder: Path) -> Iterable[Sample]:
    from edaformer.data import open_dataset

    return open_dataset(f"reference:{folder / 'x.ref'}", sound.SIZE)


def _compare(folder: Path) -> str:
    return command(folder, "validate", folder / "x.onnx", "--reference", folder / "x.ref",
                   *sound.LOOSE, "--report", folder / "out.html", "--junit", folder / "out.xml",
                   "--json")  # fmt: skip


def _validate(folder: Path) -> str:
    return command(folder, "validate", folder / "x.onnx", "--checkpoint", folder / "m.safetensors",
                   "--data", f"folder:{folder / 'data'}", *sound.LOOSE, "--cache",
                   folder / "cache", "--save-reference", folder / "out.ref", "--json")  # fmt: skip


def _trials(folder: Path) -> None:
    from edaformer.engines.tune.search.trials import Latency, Trials

    with Trials.open(folder / "trials.sqlite", BOUND, resume=False) as trials:
        for at in range(3):
            made = {BASE: _counts(at), ISR.parse("paper"): 2 * _counts(at)}
            trials.add(at, f"{at:064}", made)
        trials.add_latency(BASE, "some device", Latency(0.008, 123))


def _counts(at: int) -> np.ndarray:
    """Of one image: every class's hits within its pixels, the same sum in truth and prediction."""
    true = np.array([30, 20, 10, 5, 7], np.int64) + at
    return np.stack([true - 3, true, true[::-1]])


def _read_trials(folder: Path) -> str:
    """Whatever is served is what was put in."""
    from edaformer.engines.tune.search.trials import Latency, Trials

    paper = ISR.parse("paper")
    with Trials.open(folder / "trials.sqlite", BOUND, resume=True) as trials:
        for isr, rows in trials.counts.items():
            for at, counts in rows.items():
                factor = {BASE: 1, paper: 2}.get(isr, 0)
                if not np.array_equal(counts, factor * _counts(at)):
                    raise FindError(f"serves {counts.tolist()} for {isr} at {at}")
        if any(value != f"{at:064}" for at, value in trials.hashes.items()):
            raise FindError(f"serves the hashes {trials.hashes}")
        if not set(trials.latencies.items()) <= {((BASE, "some device"), Latency(0.008, 123))}:
            raise FindError(f"serves {trials.latencies}")
    return ""


def _cache(folder: Path) -> None:
    cache, key, decision = _cached(folder)
    cache.get_or_make(key, lambda: decision)
    if not any(path.is_file() for path in folder.rglob("*.reference")):
        raise FindError("the cache keeps its entries elsewhere now; mend this reader")


def _read_cache(folder: Path) -> str:
    cache, key, decision = _cached(folder)
    found = cache.get_or_make(key, lambda: decision)
    return digest(found.labels, found.margin)


def _cached(folder: Path):
    from edaformer.engines.validate.procedure import make_procedure
    from edaformer.engines.validate.reference_cache import CacheKey, ReferenceCache
    from edaformer.evaluation.protocol import get_protocol
    from edaformer.labels.decide import Decision

    passes = make_procedure(get_protocol("native"), sound.PICTURE, None).passes(sound.PICTURE)
    key = CacheKey(
        checkpoint_sha256="0" * 64, prepared="", network={}, isr=str(BASE), align=32, passes=passes,
        image_sha256="1" * 64, size=sound.PICTURE, classes=len(sound.CLASSES),
        torch_version="2.13.0",
    )  # fmt: skip
    margin = np.linspace(0, 9, 384).reshape(sound.PICTURE).astype(np.float16)
    return ReferenceCache(folder / "cache"), key, Decision(sound.labels(), margin)


def _ladder(folder: Path) -> None:
    _onnx(folder)
    rungs = [{"isr": "8,4,2,1-1,2,4", "artifact": "x.onnx"}]
    content = {"schema_version": 1, "size": list(sound.SIZE), "rungs": rungs}
    (folder / "ladder.json").write_text(json.dumps(content))


def _read_ladder(folder: Path) -> str:
    from edaformer.engines.run.ladder import Ladder

    with Ladder.load(folder / "ladder.json", deadline=0.1) as ladder:
        return digest(ladder(sound.picture(0, sound.SIZE)))


def _names(folder: Path) -> None:
    (folder / "names.txt").write_text("\n".join((*sound.CLASSES, "\u00fcber allem")), "utf-8")


def _read_names(folder: Path) -> str:
    from edaformer.names import read_names

    made = read_names(folder / "names.txt")
    if not all(name.isprintable() for name in made):
        raise FindError(f"gives {made!r}")
    return digest(made)


def _record(folder: Path) -> None:
    root = Path(__file__).parents[2] / "benchmarks/records"
    source = min(root.glob("*.json"))
    (folder / "record.json").write_bytes(source.read_bytes())


def _read_record(folder: Path) -> str:
    from edaformer.engines.bench.record import read_record

    return digest(read_record(folder / "record.json"))


def _manifest(folder: Path) -> None:
    _plan(folder)
    for path in folder.iterdir():
        if path.name != "x.plan.json":
            path.unlink()


def _read_manifest(folder: Path) -> str:
    from edaformer.manifest import network_name, parse_manifest, parse_network_name

    path = folder / "x.plan.json"
    made = parse_manifest(path.read_text(errors="replace"), str(path))
    if made.classes and parse_network_name(network_name(made), "plan").classes != made.classes:
        raise FindError(f"the plan gives other names than {made.classes!r}")
    return ""


def _inside(folder: Path) -> None:
    sound.lay_safetensors(folder / "m.safetensors")
    Image.fromarray(sound.picture()).save(folder / "p.png")


def _info(name: str) -> Callable[[Path], str]:
    return lambda folder: command(folder, "info", folder / name, "--json")


READERS = (
    *(Reader(suffix, _picture(suffix), _read_picture, {"*": PLAIN}, share=0.4)
      for suffix in PICTURES),
    *(Reader(f"animated {suffix}", _animation(suffix), _read_picture, {"*": PLAIN}, share=0.4)
      for suffix in ANIMATIONS),
    Reader("png chunks", _picture("png"), _read_picture, {"*": PNGS}),
    Reader("apng chunks", _animation("apng"), _read_picture, {"*": PNGS}),
    Reader("16 bits", _deep, _read_picture, {"*": (*PLAIN, *PNGS)}, share=0.5),
    Reader("labels", sound.lay_folder_data, _read_data, {"labels/*": (*PLAIN, *PNGS)}, share=3),
    Reader("data set", sound.lay_folder_data, _read_data,
           {"images/*": (*PLAIN, *PNGS), "labels/*": PNGS, "*.txt": (*PLAIN, *JSONS)}, share=2),
    Reader("mp4", _video("mp4v", "mp4"), _read_video, {"*": PLAIN}),
    Reader("avi", _video("MJPG", "avi"), _read_video, {"*": PLAIN}),
    Reader("pth", lambda f: sound.lay_pth(f / "m.pth"), _read_checkpoint,
           {"*": (*PLAIN, *ZIPS)}, share=3),
    Reader("legacy pth", lambda f: sound.lay_pth(f / "m.pth", zipped=False), _read_checkpoint,
           {"*": PLAIN}, share=2),
    Reader("safetensors", lambda f: sound.lay_safetensors(f / "m.safetensors"), _read_checkpoint,
           {"*": (*PLAIN, *HEADERS)}, share=3),
    Reader("adapting", _adapting, _read_adapting, {"*": (*PLAIN, *ZIPS)}, sealed=True),
    Reader("Hugging Face", _hugging, _read_checkpoint,
           {"model/*.json": (*JSONS, *JSONS, *PLAIN), "model/*.safetensors": (*PLAIN, *HEADERS)},
           share=2),
    *(Reader(f"pth of {name}", _project(name), _read_checkpoint, {"*": (*PLAIN, *ZIPS)}, share=2)
      for name in ("nvlabs", "mmseg", "smp")),
    Reader("pth of FeedFormer", _feedformer, _read_checkpoint, {"*": (*PLAIN, *ZIPS)}),
    Reader("UPerNet's folder", _upernet, _read_checkpoint,
           {"model/*.json": (*JSONS, *JSONS, *PLAIN), "model/*.safetensors": (*PLAIN, *HEADERS)}),
    Reader("pth of a decoder", _decoder, _read_checkpoint, {"*": (*PLAIN, *ZIPS)}, share=2),
    Reader("smp folder", _smp_folder, _read_checkpoint, {"model/*.json": (*JSONS, *PLAIN)},
           share=0.5),
    Reader("info of pth", lambda f: sound.lay_pth(f / "m.pth"), _info("m.pth"),
           {"*": (*PLAIN, *ZIPS)}),
    Reader("info of onnx", _onnx, _info("x.onnx"), {"*.onnx": (*PLAIN, *PROTOBUFS)}),
    Reader("check", _onnx, lambda f: command(f, "check", f / "x.onnx", "--run"),
           {"*.onnx": (*PLAIN, *PROTOBUFS), "*.witness": (*PLAIN, *ZIPS)}),
    Reader("check of FP16", lambda f: sound.lay_onnx(f / "x.onnx", half=True),
           lambda f: command(f, "check", f / "x.onnx", "--run"), {"*.onnx": (*PLAIN, *PROTOBUFS)}),
    Reader("run", _onnx_and_picture,
           lambda f: command(f, "run", f / "x.onnx", f / "p.png", "-o", f / "out", "--save",
                             "overlay,labels", "--stats", f / "out.csv"),
           {"*.onnx": (*PLAIN, *PROTOBUFS), "*.png": (*PLAIN, *PNGS)}),
    Reader("plan", _plan, _read_plan, {"x.plan": PLAIN, "*.plan.json": (*JSONS, *PLAIN)},
           sealed=True, share=2),
    Reader("plan alone", _plan_alone, _read_plan, {"x.plan": PLAIN}, share=2),
    Reader("info of plan", _plan, _info("x.plan"), {"x.plan": PLAIN, "*.plan.json": JSONS},
           sealed=True),
    Reader("manifest", _manifest, _read_manifest, {"*": JSONS}, share=4),
    Reader("witness", _onnx, _read_witness, {"*.witness": (*PLAIN, *ZIPS)}, sealed=True, share=3),
    Reader("reference", _reference, _read_reference, {"*.ref": (*PLAIN, *ZIPS)}, sealed=True,
           share=3),
    Reader("resealed reference", _reference, _read_reference, {"*.ref": RESEALED}, share=3),
    Reader("images of a resealed reference", _reference, lambda f: digest(*(
        part for one in _samples(f) for part in (one.name, one.image, one.labels))),
           {"*.ref": RESEALED}),
    Reader("reference cache", _cache, _read_cache, {"cache/**/*": PLAIN}, sealed=True,
           share=6),
    Reader("validate by reference", _reference, _compare,
           {"*.onnx": (*PLAIN, *PROTOBUFS), "*.ref": (*PLAIN, *ZIPS)}, share=0.5),
    Reader("validate", _reference, _validate,
           {"*.safetensors": (*PLAIN, *HEADERS), "cache/**/*": PLAIN,
            "data/*/*.png": PNGS}, share=0.5),
    Reader("trials", _trials, _read_trials, {"*.sqlite": (*PLAIN, *ROWS, *ROWS)}, sealed=True,
           share=6),
    Reader("names", _names, _read_names, {"*": (*PLAIN, *JSONS)}),
    Reader("options", options.lay, options.read, {"words.json": (options.odd,)}, share=0.15),
    Reader("ladder", _ladder, _read_ladder, {"*.json": (*JSONS, *PLAIN)}, share=2),
    Reader("record", _record, _read_record, {"*": (*JSONS, *PLAIN)}, share=2),
    Reader("device", devices.lay, devices.read, {"answers/*": devices.DAMAGES}, share=0.5),
    Reader("look inside", _inside,
           lambda f: command(f, "run", f / "m.safetensors", f / "p.png", "--attention", "3",
                             "--isr", "16,8,2,1-2,2,4", "-o", f / "out"),
           {"*.png": (*PLAIN, *PNGS)}, share=0.25),
)  # fmt: skip
NAMED = {reader.name: reader for reader in READERS}

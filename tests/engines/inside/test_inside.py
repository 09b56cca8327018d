"""A look inside a checkpoint: the attention is PyTorch's, the keys are where they pool."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.inside.figure import Query, draw_figure, mean_cosine
from edaformer.engines.inside.inside import InsideOptions, _resized, look_inside
from edaformer.engines.inside.stage import OpenStage, Setting, stage_names
from edaformer.errors import InputError, ISRError
from edaformer.families.attention import DotProductAttention
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE, ISR
from edaformer.labels.resize import pillow_bilinear
from edaformer.media.frames import Frame
from edaformer.preprocess import normalise
from tests.tiny import tiny_model, tiny_segformer

OTHER = ISR.parse("16,8,4,2-2,4,8")
SIZE = (120, 180)  # padded to 128x192


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


MODELS = {"EDAFormer": tiny_model("8,4,2,1-1,2,4"), "SegFormer": tiny_segformer()}
STAGES = [(name, stage) for name, model in MODELS.items()
          for stage in stage_names(model.variant.places)]  # fmt: skip


def test_stages_are_called_as_the_paper_calls_them() -> None:
    assert [stage for name, stage in STAGES if name == "EDAFormer"] == [
        "1", "2", "3", "4", "c4", "c3", "c2",
    ]  # fmt: skip
    assert [stage for name, stage in STAGES if name == "SegFormer"] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_attention_is_the_model_s(name: str, stage: str) -> None:
    """Weights on v = identity give the attention matrix of the real module."""
    model = MODELS[name]
    places = model.variant.places
    opened = OpenStage(model, stage, SIZE)
    points = [(0, 0), (70, 130), (119, 179)]
    for isr in (places.base, places.isr(tuple(2 * place.base for place in places.all))):
        made = opened.look(isr, image(), points)
        place = stage_names(places).index(stage)
        assert made.ratio == isr.ratios[place]
        whole: list[np.ndarray] = []

        def keep(_: object, inputs: tuple[torch.Tensor, ...], __: object) -> None:
            q, k = inputs[0], inputs[1]
            identity = torch.eye(k.shape[2]).expand(1, q.shape[1], -1, -1)
            whole.append(DotProductAttention()(q, k, identity).mean(dim=1)[0].numpy())  # noqa: B023

        part = model.parts[place]
        hook = part.blocks[-1].attention.attend.register_forward_hook(keep)
        tensor = np.zeros((1, 3, 128, 192), np.float32)
        tensor[:, :, :120, :180] = normalise(image()[None])
        model.set_isr(isr)
        model(torch.from_numpy(tensor))
        hook.remove()
        rows, columns = made.features.shape[:2]
        for (y, x), attention in zip(points, made.attention, strict=True):
            token = y * rows // 128 * columns + x * columns // 192
            assert attention.shape == made.keys == (rows // made.ratio, columns // made.ratio)
            np.testing.assert_allclose(attention.ravel(), whole[0][token], atol=1e-6)
            assert attention.sum() == pytest.approx(1, abs=1e-5)


def test_features_are_the_stage_s_output() -> None:
    model = tiny_model("8,4,2,1-1,2,4")
    made = OpenStage(model, "1", (128, 192)).look(OTHER, np.zeros((128, 192, 3), np.uint8), [])
    model.set_isr(OTHER)
    with torch.inference_mode():
        black = torch.from_numpy(normalise(np.zeros((1, 128, 192, 3), np.uint8)))
        expected = model.encoder.stage1(black)
    np.testing.assert_allclose(made.features, expected[0].permute(1, 2, 0).numpy(), atol=1e-6)


def setting(ratio: int, hot: tuple[int, int]) -> Setting:
    """One key has all attention; 9x12 tokens."""
    attention = np.zeros((9 // ratio, 12 // ratio), np.float32)
    attention[hot] = 1
    features = np.random.default_rng(3).standard_normal((9, 12, 8)).astype(np.float32)
    return Setting(BASE, ratio, features, (attention,), (9, 12))


def test_a_key_is_drawn_where_it_pools() -> None:
    picture = np.zeros((72, 96, 3), np.uint8)
    query = Query("query", (36, 48))
    figure = draw_figure("x", picture, [query], (72, 96), [setting(2, (1, 2)), setting(4, (1, 0))])
    height = (figure.shape[0] - 6) // 2
    row = figure[height + 6 + height - 72 :]  # the attention's pictures, under their titles
    assert row.shape[0] == 72
    bright = row.astype(int).sum(axis=2) > 50
    for left, place in ((102, np.s_[16:32, 32:48]), (204, np.s_[32:64, 0:32])):
        expected = np.zeros((72, 96), bool)
        expected[place] = True
        np.testing.assert_array_equal(bright[:, left : left + 96], expected)


def test_equal_features_have_equal_colours() -> None:
    made = setting(1, (0, 0))
    figure = draw_figure("x", np.zeros((72, 96, 3), np.uint8), [], (72, 96), [made, made])
    np.testing.assert_array_equal(figure[-72:, 102:198], figure[-72:, 204:300])
    assert len(np.unique(figure[-72:, 102:198].reshape(-1, 3), axis=0)) > 50
    assert mean_cosine(made.features, made.features) == pytest.approx(1)
    assert mean_cosine(made.features, -made.features) == pytest.approx(-1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(image()).save(tmp_path / "a.png")
    return tmp_path


def test_the_command(folder: Path, small_checkpoint: Checkpoint) -> None:
    (folder / "broken.png").write_bytes(b"")
    ran = CliRunner().invoke(
        app, ["run", str(small_checkpoint.path), "a.png", "broken.png", "--attention", "c3",
              "--isr", "16,8,4,2-2,4,8", "--size", "128x192", "--point", "10,20", "--point",
              "100,110", "--json"],
    )  # fmt: skip
    assert ran.exit_code == 1, ran.output
    made = json.loads(ran.stdout)
    assert [one["name"] for one in made["skipped"]] == ["broken.png"]
    (one,) = made["pictures"]
    assert (one["base_keys"], one["isr_keys"]) == ([4, 6], [2, 3])
    assert -1 <= one["cosine"] < 1
    with Image.open(folder / "edaformer-run/attention/a.png") as figure:
        assert figure.width == 3 * 192 + 2 * 6
        assert figure.height > 3 * 128  # features, and a row for each point


def test_resized_as_the_checkpoint_s_processor_does() -> None:
    frame = Frame("a", "a", image())
    made = _resized(frame, (64, 96), "pillow-bilinear")
    np.testing.assert_array_equal(made, pillow_bilinear(frame.pixels, (64, 96)))
    with pytest.raises(InputError, match="by pillow-bicubic; give pictures of 64x96"):
        _resized(frame, (64, 96), "pillow-bicubic")
    assert _resized(frame, SIZE, "pillow-bicubic") is frame.pixels


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"stage": "5"}, InputError, "expected --attention as one of 1, 2, 3, 4, c4, c3, c2"),
        ({"isr": "base"}, InputError, "is base ISR itself; name another one"),
        ({"isr": "256,4,2,1"}, ISRError, "is larger than its 32x48 map"),
        ({"points": ((180, 0),)}, InputError, "it is 180 wide and 120 high, and --point 180,0 is"),
        ({"limit": 0}, InputError, "expected --limit of at least 1"),
    ],
)
def test_refused(
    folder: Path, small_checkpoint: Checkpoint, options: dict[str, object], error: type[Exception],
    words: str,
) -> None:  # fmt: skip
    with pytest.raises(error, match=words):
        look_inside(
            small_checkpoint.path, ["a.png"],
            InsideOptions(**({"stage": "2", "isr": "16,8,4,2", "size": SIZE} | options)),
        )  # fmt: skip
    assert not (folder / "edaformer-run").exists()

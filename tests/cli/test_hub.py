"""Ids of the Hub through the commands: fetched, recorded, asked for again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.families.segformer.hugging import save_folder
from tests.hub_server import FIRST, SECOND, Hub, Model, repository, serving
from tests.once import once

CODE = "from edaformer.cli.main import main; main()"
CLASSES = ("sky", "building", "pole", "road", "pavement")


class Typed:
    """Commands in a folder, which fetch from a Hub into a home."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub, self.folder = hub, folder

    def __call__(self, *words: object, code: int = 0, **variables: str) -> tuple[str, str]:
        ran = subprocess.run(
            [sys.executable, "-c", CODE, *map(str, words)],
            cwd=self.folder, capture_output=True, text=True, check=False,
            env=self.hub.environment(self.folder.parent / "home", PYTHONPATH=str(ROOT))
            | {name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME")} | variables,
        )  # fmt: skip
        assert ran.returncode == code, ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.stdout, ran.stderr


@pytest.fixture(scope="module")
def hub(shared: Path) -> Iterator[Hub]:
    from edaformer.data.scenes import CLASSES

    def make(seed: int) -> Path:
        path = shared / f"hub_{seed}"
        return save_folder(path, {"do_resize": False}, seed=seed, id2label=dict(enumerate(CLASSES)))

    first, second = (once(shared, f"hub_{seed}", lambda s=seed: make(s)) for seed in (1, 2))
    commits = {FIRST: repository(first), SECOND: repository(second)}
    with serving(scenes=Model(commits, {"main": SECOND, "v1": FIRST})) as served:
        yield served


@pytest.fixture(scope="module")
def typed(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Typed:
    folder = tmp_path_factory.mktemp("hub") / "work"
    folder.mkdir()
    return Typed(hub, folder)


@pytest.fixture(scope="module")
def exported(typed: Typed) -> tuple[str, str]:
    """Of the tag v1, under the name that nobody gave."""
    return typed("export", "tests/scenes@v1", "--size", "64x96", "--json")


NAME = "scenes_base_64x96_fp16.onnx"
LAX = (
    "--data",
    "scenes:2",
    "--max-miou-drop",
    50,
    "--min-agreement",
    0.5,
    "--no-cache",
    "--trust-labels",
)


@pytest.mark.slow
def test_an_artifact_records_where_it_came_from(exported: tuple[str, str], typed: Typed) -> None:
    out, err = exported
    assert json.loads(out)["manifest"]["hub"] == {
        "id": "tests/scenes", "revision": "v1", "commit": FIRST
    }  # fmt: skip
    assert f"... asking {typed.hub.url} for tests/scenes@v1\n" in err
    assert "... fetching model.safetensors of tests/scenes@v1\n" in err
    told, _ = typed("info", NAME)
    assert f"checkpoint from tests/scenes at commit {FIRST} (v1)" in " ".join(told.split())
    assert json.loads(typed("info", NAME, "--json")[0])["manifest"]["hub"]["commit"] == FIRST


@pytest.mark.slow
def test_the_id_is_asked_for_again(exported: tuple[str, str], typed: Typed) -> None:
    typed("validate", NAME, "--checkpoint", "tests/scenes@v1", *LAX)
    typed("validate", NAME, "--checkpoint", f"tests/scenes@{FIRST}", *LAX, HF_HUB_OFFLINE="1")
    _, err = typed("validate", NAME, "--checkpoint", "tests/scenes", *LAX, code=2)
    assert err.splitlines()[-1].startswith(
        f"error: {NAME} was exported from another checkpoint (tests/scenes@{FIRST}, SHA-256 "
    )
    assert f"tests/scenes@{SECOND} has " in err


@pytest.mark.slow
def test_info_of_an_id(typed: Typed) -> None:
    told, _ = typed("info", "tests/scenes")
    assert f"fetched from tests/scenes at commit {SECOND} (main)" in " ".join(told.split())
    assert json.loads(typed("info", "hf://tests/scenes", "--json")[0])["hub"]["commit"] == SECOND


@pytest.mark.slow
def test_every_other_command_takes_it(exported: tuple[str, str], typed: Typed) -> None:
    _, err = typed("adapt", "tests/scenes@v1", "--isr", "16,8,4,1", "--frames", "scenes:8",
                   "--steps", 1, "--size", "64x96", code=1)  # fmt: skip
    assert "error: nothing is gained" in err  # by random weights: it was read, and taught
    original = ("--checkpoint", "tests/scenes@v1", "--original", "tests/scenes")
    _, err = typed("validate", NAME, *original, *LAX, code=2)
    assert "--original is for a checkpoint that was adapted, and scenes was not" in err
    out, _ = typed("run", "tests/scenes@v1", "scenes:1", "--attention", 1, "--isr",
                   "16,8,4,1", "--size", "64x96", "--json")  # fmt: skip
    assert json.loads(out)["checkpoint"] == f"tests/scenes@{FIRST}"
    out, _ = typed("bench", NAME, "--against", "torch", "--checkpoint", "tests/scenes@v1",
                   "--duration", 0.2, "--rounds", 1, "--json")  # fmt: skip
    assert len(json.loads(out)["results"]) == 2
    _, err = typed("tune", "tests/scenes@v1", "--data", "scenes:2", "--size", "64x96", "--trials",
                   2, "--max-miou-drop", 100, "--trust-labels")  # fmt: skip
    assert f"next: edaformer-export tests/scenes@{FIRST} --isr" in err


@pytest.mark.slow
def test_in_python_it_is_the_same(typed: Typed) -> None:
    code = (
        "import edaformer\n"
        "one = edaformer.load_checkpoint('tests/scenes@v1')\n"
        "two = edaformer.load_checkpoint(one.path)\n"
        "assert one.sha256 == two.sha256 and two.hub is None\n"
        "print(one.name, one.stem, one.called, one.hub.text)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=typed.folder, capture_output=True, text=True, check=True,
        env=typed.hub.environment(typed.folder.parent / "home", PYTHONPATH=str(ROOT)),
    )  # fmt: skip
    pinned = f"tests/scenes@{FIRST}"
    assert ran.stdout == f"scenes scenes {pinned} tests/scenes at commit {FIRST} (v1)\n"
    assert ran.stderr == ""  # the library does not print


def test_both_readings_are_named(typed: Typed) -> None:
    _, err = typed("export", "tests/none", code=2)
    assert err.splitlines()[-1].startswith("error: there is nothing at tests/none on this machine")
    (typed.folder / "runs").mkdir(exist_ok=True)
    asked = len(typed.hub.asked)
    for command in ("export", "info", "adapt"):
        more = ("--isr", "16,8,4,1", "--frames", "scenes:2") if command == "adapt" else ()
        _, err = typed(command, "runs/b0", *more, code=2)
        assert "or write hf://runs/b0 for that id of the Hugging Face Hub" in err
    assert len(typed.hub.asked) == asked


def test_help_says_that_the_network_is_used() -> None:
    for command in ("export", "info", "validate", "adapt", "tune", "bench", "run"):
        ran = subprocess.run(
            [sys.executable, "-c", CODE, command, "--help"], capture_output=True, text=True,
            check=True, env=os.environ | {"COLUMNS": "200"}, cwd=ROOT,
        )  # fmt: skip
        assert "fetched over the network" in " ".join(ran.stdout.split())

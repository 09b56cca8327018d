"""Every line that the tool prints to be typed: quoted, whole, and of files that are there."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from edaformer.cli import tune as tune_cli
from edaformer.cli.main import app
from edaformer.cli.texts.validation import print_saved
from edaformer.data import check_data
from edaformer.engines.artifact.preflight import preflight
from edaformer.engines.build.build import BuildResult
from edaformer.engines.run.ladder_index import read_index
from edaformer.engines.runtime import Engine
from edaformer.engines.tune.rungs import LadderFiles
from edaformer.engines.tune.tune import export_command
from edaformer.errors import EdaformerError
from edaformer.export.exporter import ExportResult
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE
from edaformer.labels.witness import copy_witness
from tests.conftest import ROOT
from tests.folder import lay_folder

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
WORD = r"(?:'[^']*'|\"[^\"]*\"|[^\s;,()'\"]|,(?=\S))+"
LINE = re.compile(rf"edaformer-(?:{'|'.join(COMMANDS)})(?: {WORD})*")


class Given(NamedTuple):
    """What a person has, all of it with spaces in its name."""

    checkpoint: Path
    onnx: Path
    plan: Path
    data: str


@pytest.fixture
def mine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_checkpoint: Checkpoint,
    small_export: ExportResult, small_plan: BuildResult,
) -> Given:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    folder = Path("my own models")
    folder.mkdir()
    given = Given(
        folder / "the model.safetensors", folder / "it's it.onnx", folder / "it's it.plan",
        f"folder:{lay_folder(Path('my data'), [], ())}",
    )  # fmt: skip
    given.checkpoint.write_bytes(small_checkpoint.path.read_bytes())
    given.onnx.write_bytes(small_export.path.read_bytes())
    copy_witness(small_export.path, given.onnx)
    given.plan.write_bytes(small_plan.path.read_bytes())
    Path(f"{given.plan}.json").write_bytes(Path(f"{small_plan.path}.json").read_bytes())
    return given


def parsed(text: str) -> dict[str, dict[str, Any]]:
    """The lines of a text by their commands, each read by its command's own parser."""
    made = {}
    for line in LINE.findall(text):
        name, *words = shlex.split(line)
        command = name.removeprefix("edaformer-")
        made[command] = COMMANDS[command].make_context(command, words).params
    return made


def printed(*arguments: object) -> str:
    ran = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return f"{ran.stdout}{ran.stderr}"


def test_after_an_export(mine: Given, small_export: ExportResult, monkeypatch: Any) -> None:
    def exported(_: object, __: object, path: Path, **___: object) -> ExportResult:
        return replace(small_export, path=path)

    monkeypatch.setattr("edaformer.export.exporter.export_model", exported)
    monkeypatch.setattr("edaformer.cli.export._images", lambda *_: None)
    lines = parsed(printed("export", mine.checkpoint, "-o", mine.onnx, "--data", mine.data))
    assert lines["build"]["model"] == mine.onnx
    told = lines["validate"]
    assert (told["artifact"], told["checkpoint"]) == (mine.onnx, str(mine.checkpoint))
    check_data(told["data"])
    assert told["data"] == mine.data
    assert "validate" not in parsed(printed("export", mine.checkpoint, "-o", mine.onnx))
    demo = parsed(printed("export", "-o", "demo.onnx"))  # whose data are drawn
    assert (demo["validate"]["checkpoint"], demo["validate"]["data"]) == (None, None)


def test_after_a_build(mine: Given, small_plan: BuildResult, monkeypatch: Any) -> None:
    def built(_: object, path: Path, *__: object, **___: object) -> BuildResult:
        return replace(small_plan, path=path)

    monkeypatch.setattr("edaformer.engines.build.build.build_engine", built)
    text = printed("build", mine.onnx, "-o", mine.plan)
    lines = parsed(text)
    assert lines["info"]["subjects"] == [str(mine.plan)]
    assert (lines["check"]["artifact"], lines["check"]["run_"]) == (mine.plan, True)
    assert COMMANDS["info"].main([str(mine.plan)], standalone_mode=False) in {None, 0}
    (trtexec,) = re.findall(r"^or: (.*)$", text, re.MULTILINE)
    assert f"--loadEngine={mine.plan}" in shlex.split(trtexec)


def test_after_a_tuning(
    mine: Given, small_checkpoint: Checkpoint, small_export: ExportResult,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own = replace(small_checkpoint, path=mine.checkpoint)
    told = parsed(export_command(own, BASE, (64, 64)))["export"]
    own_line = (told["checkpoint"], told["isr"], told["size"])
    assert own_line == (str(mine.checkpoint), str(BASE), "64x64")
    rungs = LadderFiles(Path("ladder/ladder.json"), (), (mine.onnx,))
    tune_cli._say_made(None, rungs)
    assert parsed(capsys.readouterr().err)["build"]["model"] == mine.onnx
    tune_cli._say_made(replace(small_export, path=mine.onnx), None)
    assert parsed(capsys.readouterr().err)["build"]["model"] == mine.onnx


def test_after_saving_a_reference(mine: Given, capsys: pytest.CaptureFixture[str]) -> None:
    reference = mine.onnx.with_name("a street.ref")
    reference.write_bytes(b"")
    for artifact, data in ((mine.onnx, None), (None, mine.data)):
        print_saved(reference, artifact, data)
        told = parsed(capsys.readouterr().err)["validate"]
        assert told["artifact"] == Path("MODEL.plan" if artifact is None else mine.plan.name)
        assert (told["reference"], told["data"]) == (Path(reference.name), data)


def test_a_folder_for_a_server(mine: Given) -> None:
    text = printed("build", mine.onnx, "--target", "triton", "--backend", "onnxruntime", "-o",
                   "the repository/street")  # fmt: skip
    (line,) = re.findall(r"^next: (.*)$", text, re.MULTILINE)
    assert shlex.split(line) == ["tritonserver", "--model-repository=the repository"]


def test_what_mends_an_error(mine: Given) -> None:
    for command in (("run", "x.png"), ("build",), ("validate",), ("check",)):
        told = parsed(printed(command[0], mine.checkpoint, *command[1:]))["export"]
        assert told["checkpoint"] == str(mine.checkpoint)
    with pytest.raises(EdaformerError) as error:
        Engine.load(mine.onnx)
    assert parsed(str(error.value))["build"]["model"] == mine.onnx
    (folder := Path("a ladder")).mkdir()
    (folder / "r 1.onnx").write_bytes(mine.onnx.read_bytes() + b"\x72\x00")  # another file
    (folder / "r 1.plan").write_bytes(mine.plan.read_bytes())
    (folder / "ladder.json").write_text(
        '{"schema_version": 1, "size": [60, 90], "rungs": [{"isr": "x", "artifact": "r 1.onnx"}]}'
    )
    with pytest.raises(EdaformerError) as error:
        read_index(folder / "ladder.json")
    assert parsed(str(error.value))["build"]["model"] == folder / "r 1.onnx"
    (folder / "r 1.onnx").write_bytes(mine.onnx.read_bytes())
    assert read_index(folder / "ladder.json").rungs[0].artifact == folder / "r 1.plan"


def test_what_mends_a_plan(mine: Given) -> None:
    mine.plan.write_bytes(mine.plan.read_bytes()[:-100])
    (problem,) = preflight(mine.plan).problems
    assert parsed(problem.fix)["build"]["output"] == mine.plan
    mine.plan.write_bytes(mine.onnx.read_bytes())
    told = [problem.fix for problem in preflight(mine.plan).problems]
    assert parsed(told[0])["build"]["model"] == Path("MODEL.onnx")
    assert shlex.split(told[0])[:2] == ["mv", str(mine.plan)]


def test_no_name_gets_into_a_line_unquoted() -> None:
    """In every text of the package, what follows a command's name went through shlex."""
    bare = [
        f"{path.relative_to(ROOT)}:{value.lineno}: {ast.unparse(value)}"
        for path in sorted((ROOT / "edaformer").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr)
        for value in arguments(node)
        if not ast.unparse(value).startswith(("shlex.", "quoted"))
    ]
    assert bare == []


def arguments(text: ast.JoinedStr) -> Iterator[ast.expr]:
    """The values of an f-string that are words of a command in it."""
    before = ""
    for part in text.values:
        if isinstance(part, ast.FormattedValue):
            if re.search(rf"edaformer-(?:{'|'.join(COMMANDS)}) [^;,()]*$", before):
                yield part.value
            before += "VALUE"
        else:
            before += str(part.value)  # type: ignore[attr-defined]

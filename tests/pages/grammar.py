"""Lines held to the parsers of their commands, without running them."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import tomllib
import typer

import edaformer
from edaformer.cli.main import app
from edaformer.data.datasets import _KINDS as DATASETS
from edaformer.errors import EdaformerError
from edaformer.isr import ISR
from edaformer.preprocess import parse_size
from tests.pages.page import ROOT, is_ours, parts

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Values that a command's own parser takes as text
VALUES: dict[str, Callable[[str], Any]] = {
    "--isr": ISR.parse,
    "--size": lambda text: text == "dynamic" or parse_size(text),
}


def objection(line: str) -> str | None:
    """What is wrong with a line, or None."""
    for words in parts(line):
        if is_ours(words):
            found = _ours(words)
        elif words[0] == "make":
            found = _make(words[1:])
        elif words[0] == "pip":
            found = _pip(words[1:])
        elif words[0] in {"python", "python3"} and words[1].endswith(".py"):
            found = _script(words[1:])
        else:
            found = None
        if found:
            return found
    return None


def unknown_option(span: str) -> str | None:
    """Of a command inside a sentence, which need not be whole: an option that is none."""
    words = [word.strip("[]") for word in span.split()]
    if not is_ours(words):
        return None
    command = _command(words)
    if command is None:
        return f"{words[0]} is no command"
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    known |= {"--help", "-h"}
    given = [word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)]
    strange = [word for word in given if word not in known]
    return f"{words[0]} has no option {strange[0]}" if strange else None


def unknown_name(code: str) -> str | None:
    """Of a snippet: an import, or an attribute of ``edaformer``, that is not there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            missing = [one.name for one in node.names if not hasattr(module, one.name)]
            if missing:
                return f"{node.module} has no {missing[0]}"
        if isinstance(node, ast.Import):
            for one in node.names:
                importlib.import_module(one.name)
        if (
            isinstance(node, ast.Attribute) and ast.unparse(node.value) == "edaformer"
            and not hasattr(edaformer, node.attr)
        ):  # fmt: skip
            return f"edaformer has no {node.attr}"
    return None


def _command(words: list[str]) -> Any:
    group: Any = typer.main.get_command(app)
    if words[1:3] == ["-m", "edaformer"]:
        words = words[2:]
    name = words[0].removeprefix("edaformer").removeprefix("-")
    if name:
        return group.commands.get(name)
    return group.commands.get(words[1]) if len(words) > 1 and words[1][0] != "-" else group


def _ours(words: list[str]) -> str | None:
    """As typer takes it; of a synopsis all that is in brackets, and an ellipsis is no word."""
    command = _command(words)
    if command is None:
        return f"{words[0]} is no command"
    at = next((i for i, word in enumerate(words) if word == command.name), 0)
    given = [word.strip("[]").removesuffix("...") for word in words[at + 1 :]]
    given = [word for word in given if word not in {"", "…"}]
    try:
        command.make_context(command.name, list(given), resilient_parsing=False)
        for option, value in pairwise(given):
            if option in VALUES:
                VALUES[option](value)
            if option == "--data" and not value.startswith(("scenes", "reference:")):
                assert value.partition(":")[0] in DATASETS, f"no data set is called '{value}'"
    except typer.Exit:
        return None
    except (EdaformerError, AssertionError) as error:
        return str(error)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())
    return None


def _make(words: list[str]) -> str | None:
    text = (ROOT / "Makefile").read_text()
    for word in words:
        name, given, _ = word.partition("=")
        wanted = rf"^{re.escape(name)} \?=" if given else rf"^{re.escape(name)}:"
        if not re.search(wanted, text, re.MULTILINE):
            return f"the Makefile has no {name}"
    return None


def _pip(words: list[str]) -> str | None:
    for word in words:
        asked = re.fullmatch(rf"(?:\.|{PROJECT['name']}|\S*\.whl)\[([\w,-]+)\].*", word)
        if not asked and word.startswith("edaformer") and word != PROJECT["name"]:
            return f"{word} is not this distribution"
        for extra in asked[1].split(",") if asked else ():
            if extra not in PROJECT["optional-dependencies"]:
                return f"there is no extra {extra}"
    return None


def _script(words: list[str]) -> str | None:
    """A script with argparse, as far as its parser; another takes what it is given."""
    path = ROOT / words[0]
    if not path.is_file():
        return f"there is no {words[0]}"
    if not _has_parser(path):
        return None
    argv, found = [str(path), *words[1:]], [str(path.parent), *sys.path]
    with _parsing_alone(), mock.patch.multiple(sys, argv=argv, path=found):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except _ParsedError:
            return None
        except SystemExit as error:
            return f"{words[0]}: exit code {error.code} from its parser"
    return f"{words[0]} never asked its parser"


def _has_parser(path: Path) -> bool:
    """Of its own, or in a module beside it: what has none would run."""
    text = path.read_text()
    beside = [path.parent / f"{name.replace('.', '/')}.py"
              for name in re.findall(r"from ([\w.]+) import", text)]  # fmt: skip
    return "argparse" in text or any("argparse" in one.read_text() for one in beside
                                     if one.is_file())  # fmt: skip


class _ParsedError(Exception):
    """As far as it is to go."""


@contextmanager
def _parsing_alone() -> Iterator[None]:
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *given: Any, **named: Any) -> None:
        with mock.patch.object(Path, "exists", return_value=True):  # the files come with a run
            parse(self, *given, **named)
        raise _ParsedError

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
        yield

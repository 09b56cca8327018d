"""Every page: its lines run as written or are listed with a reason, its links lead somewhere.

A line that fails: mend the page (or the code, where the page is right). One that names a file which
is not there: give it in ``files.py``. One that cannot be run here: say why in ``listed.py``.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.classic import releases
from tests.once import once
from tests.pages import page as pages
from tests.pages.files import MAKERS, MENTIONS, VARIABLES
from tests.pages.grammar import objection, unknown_name, unknown_option
from tests.pages.listed import NOT_RUN, OUTSIDE, Reason, begins, reason, snippet_reason
from tests.pages.page import ROOT, RUNNABLE, SHELL, Block
from tests.pages.process import DEVICE, HERE, places
from tests.test_cpp_example import STANDINS, compile_cpp

PAGES = pages.pages()
BLOCKS = [block for path in PAGES for block in pages.blocks(path)]
LANGUAGES = {*SHELL, *pages.PLAIN, "python", "cpp", "json"}
EXPLAINED = f"see {Path(__file__).relative_to(ROOT)}"
Answers = list[dict[str, str | int]]
each_page = pytest.mark.parametrize("path", PAGES, ids=pages.name)


def of(where: str) -> list[str]:
    """The pages of which something runs in a place."""
    found = {pages.name(path): places(pages.blocks(path)) for path in PAGES}
    return [page for page, typed in found.items() if where in {at for _, at in typed}]


@pytest.mark.slow
@pytest.mark.parametrize("page", of(HERE))
def test_lines_run(page: str, shared: Path) -> None:
    judge(run_here(page, shared))


@pytest.mark.slow
@pytest.mark.parametrize("page", of(DEVICE))
def test_lines_run_on_an_emulated_device(page: str, shared: Path) -> None:
    """What the PC made, but plans, is there; plans run under NVIDIA's newest bindings."""
    releases.rtx_libraries()
    device = releases.environment(releases.RELEASES[-1], shared / "pages" / "engines")
    if page in of(HERE):
        run_here(page, shared)
    folder = fresh(page, DEVICE, shared)
    for made in folder_of(page, HERE, shared).iterdir():
        if not made.is_symlink() and ".plan" not in made.name:
            (shutil.copytree if made.is_dir() else shutil.copy)(made, folder / made.name)
    judge(run(page, DEVICE, folder, shared, device | {"EDAFORMER_CLASSIC_DRIVER": "emulated"}))


def run_here(page: str, shared: Path) -> Answers:
    """Once a run: the device takes what was made."""
    name = f"page-{page.replace('/', '-')}"
    return once(
        shared, name, lambda: run(page, HERE, fresh(page, HERE, shared), shared, dict(os.environ))
    )


def folder_of(page: str, where: str, shared: Path) -> Path:
    folder = shared / "pages" / where / page.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fresh(page: str, where: str, shared: Path) -> Path:
    shutil.rmtree(folder_of(page, where, shared))
    return folder_of(page, where, shared)


def run(page: str, where: str, folder: Path, shared: Path, env: dict[str, str]) -> Answers:
    kit, answers = shared / "pages" / "kit", folder.with_suffix(".json")
    kit.mkdir(exist_ok=True)
    if "PYTEST_XDIST_WORKER" in os.environ:  # one core is ours
        env["OMP_NUM_THREADS"] = "1"
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (env.get("PYTHONPATH"), str(ROOT))))
    command = [sys.executable, "-m", "tests.pages.process", page, where, folder, kit, answers]
    done = subprocess.run(
        list(map(str, command)), env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    made: Answers = json.loads(answers.read_text())
    return made


def judge(answers: Answers) -> None:
    wrong = [
        f"{one['where']}: `{one['text']}` ended with {one['code']}\n{one['said']}"
        for one in answers if one["code"] != 0
    ]  # fmt: skip
    assert answers
    assert not wrong, "\n".join([*wrong, EXPLAINED])


def test_a_line_that_fails_is_told_with_what_to_do() -> None:
    answer = {"where": "docs/run.md:4", "text": "edaformer-run a.plan 0", "code": 2, "said": "why"}
    with pytest.raises(AssertionError, match=r"(?s)docs/run.md:4.*with 2\s+why.*see tests/pages"):
        judge([answer])


@each_page
def test_lines_are_what_their_parsers_take(path: Path) -> None:
    for block in pages.blocks(path):
        for line in block.commands:
            found = objection(line)
            assert found is None, f"{block.where}: `{line}`: {found}"


@each_page
def test_programs_are_known(path: Path) -> None:
    """Nothing is run that nobody thought of."""
    for block in pages.blocks(path):
        assert block.language in LANGUAGES, (
            f"{block.where}: expected a block's language out of {sorted(LANGUAGES)}, got "
            f"'{block.language}'; read it in tests/pages/page.py"
        )
        for line in block.commands:
            known = reason(block.page, line) or all(
                pages.is_ours(words) or words[0] in RUNNABLE for words in pages.parts(line)
            )
            assert known, (
                f"{block.where}: `{line}` is run by nobody: list its program with a reason in "
                f"OUTSIDE of tests/pages/listed.py, or, if it is to run, in RUNNABLE of page.py"
            )


@each_page
def test_commands_in_sentences_have_their_options(path: Path) -> None:
    text = pages.prose(path)
    examples = re.findall(r"Example: (edaformer.*)", path.read_text())
    for span in [*re.findall(r"`(edaformer[- ][^`<\n]+)`", text), *examples]:
        found = unknown_option(span)
        assert found is None, f"{pages.name(path)}: `{span}`: {found}"


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language in {"python", "json"}], ids=lambda b: b.where
)
def test_snippets_are_sound(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
        return
    if snippet_reason(block.page, block.text) is Reason.NOT_OURS:
        ast.parse(block.text)
        return
    found = unknown_name(block.text)
    assert found is None, f"{block.where}: {found}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "cpp"], ids=lambda b: b.where)
def test_snippets_of_cpp_compile(block: Block, tmp_path: Path) -> None:
    """In a function that is given what the page says it has."""
    lines = block.text.splitlines()
    head = [line for line in lines if line.startswith("#")]
    body = [line for line in lines if not line.startswith("#")]
    given = "const uint8_t *pixels, int height, int width"
    text = "\n".join([*head, f"void snippet({given}) {{", *body, "(void)labels; }", ""])
    source = tmp_path / "snippet.cpp"
    source.write_text(text)
    compile_cpp(f"-I{STANDINS / 'cpp'}", "-fsyntax-only", str(source))


def test_what_is_listed_is_on_a_page() -> None:
    """No exception outlives its line."""
    lines = {(block.page, line.strip()) for block in BLOCKS
             for line in (*block.commands, *block.text.splitlines())}  # fmt: skip
    gone = [f"{page}: {line}" for page, rows in NOT_RUN.items() for line in rows
            if (page, line) not in lines]  # fmt: skip
    gone += [" ".join(words) for words in OUTSIDE if not any(begins(line, words)
                                                             for _, line in lines)]  # fmt: skip
    said = "".join(path.read_text() for path in PAGES)
    gone += [name for name in MAKERS if MENTIONS.get(name, name) not in said]
    gone += [page for page in VARIABLES if page and not (ROOT / page).is_file()]
    assert gone == [], "no page has these any more: take them out of tests/pages"


@each_page
def test_links_lead_somewhere(path: Path) -> None:
    for link in pages.links(path):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), f"{pages.name(path)}: {link} leads nowhere"
        if anchor and there.suffix == ".md":
            assert anchor in pages.anchors(there), f"{pages.name(path)}: {link} has no heading"

"""What a user installs: the wheel's packages, and commands that start with little."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import tomllib

from edaformer.packages import install_line
from tests.conftest import ROOT

LINKS = ("export", "engines", "cli")  # into edaformer/, at the root
COMMANDS = (
    "export", "build", "validate", "info", "check", "bench", "run", "tune", "adapt", "device",
)  # fmt: skip
SHIPPED = {".py", ".md", ".txt", ".hpp", ".cpp"}  # of examples/; an interpreter leaves others
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Lets only the standard library, this package and the distributions named on the command line be
# imported, then runs a command's --help.
ONLY = """
import importlib.metadata, runpy, sys
allowed = set(sys.argv[1].split(","))
command = sys.argv[2]

class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in allowed or top.startswith("_sysconfigdata"):
            return None
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)

sys.meta_path.insert(0, Blocker())
from edaformer.cli import main
sys.argv = ["edaformer", *command.split()]
main.main()
"""


def closure(requirements: list[str]) -> set[str]:
    """Import names of these distributions and all they need."""
    todo, done = [_name(text) for text in requirements], set()
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        needs = metadata.requires(name) or []
        todo += [_name(text) for text in needs if "extra ==" not in text and _is_here(_name(text))]
    owners = metadata.packages_distributions()
    return {module for module, names in owners.items() if {_norm(n) for n in names} & done}


def _name(requirement: str) -> str:
    return _norm(re.match(r"[A-Za-z0-9._-]+", requirement)[0])  # type: ignore[index]


def _norm(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_here(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def with_only_base(command: str) -> subprocess.CompletedProcess[str]:
    allowed = ",".join(closure(PROJECT["dependencies"]) | {"edaformer"})
    return subprocess.run(
        [sys.executable, "-c", ONLY, allowed, command], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_each_says_its_version_and_completes_its_options(command: str) -> None:
    target = PROJECT["scripts"]["-".join(["edaformer", *([command] if command else [])])]
    module, _, function = target.partition(":")
    name = f"edaformer_{command}".rstrip("_")
    code = f"import sys; sys.argv[0] = {name!r}; from {module} import {function}; {function}()"

    def told(*words: str, **variables: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        ).stdout  # fmt: skip

    assert told("--version") == f"{_version()}\n"
    asked = {f"_{name.upper()}_COMPLETE": "complete_bash", "COMP_WORDS": f"{name} --ver",
             "COMP_CWORD": "1"}  # fmt: skip
    assert told(**asked) == "--version\n"


def test_the_package_runs_and_alone_it_helps() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "edaformer"], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("Usage: python -m edaformer [OPTIONS] COMMAND [ARGS]...")
    assert all(f"\n  {command} " in ran.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_needs_only_the_base_dependencies(command: str) -> None:
    ran = with_only_base(f"{command} --help")
    assert ran.returncode == 0, ran.stderr
    assert "Usage:" in ran.stdout


def test_a_missing_extra_is_one_sentence_with_the_install_line(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(b"\x80\x02}q\x00.")
    ran = with_only_base(f"export {tmp_path / 'x.pth'}")
    assert ran.returncode == 3, ran.stderr
    assert ran.stderr == (
        "error: this needs the package 'torch', which is not installed; "
        f"run: {install_line('export')}\n"
    )


def test_info_of_a_plan_needs_only_the_base_dependencies(small_plan) -> None:  # type: ignore[no-untyped-def]
    ran = with_only_base(f"info {small_plan.path}")
    assert ran.returncode == 0, ran.stderr
    assert "matches the plan" in ran.stdout


def test_every_command_has_its_script() -> None:
    scripts = PROJECT["scripts"]
    assert set(scripts) == {"edaformer", *(f"edaformer-{command}" for command in COMMANDS)}
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert hasattr(__import__(module, fromlist=[function]), function)


@pytest.fixture(scope="module")
def without_links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout as Git makes it on Windows: a link is a text file with its target in it."""
    left_out = shutil.ignore_patterns(
        ".venv", ".git", "build", "*.egg-info", ".ruff_cache", ".classic", ".cache"
    )
    source = tmp_path_factory.mktemp("windows") / "source"
    shutil.copytree(
        ROOT, source, symlinks=True,
        ignore=lambda folder, names: left_out(folder, names) if Path(folder) == ROOT else set(),
    )  # fmt: skip
    for name in LINKS:
        target = (source / name).readlink()
        (source / name).unlink()
        (source / name).write_text(target.as_posix())
    return source


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "lint-imports",
        "pytest -q tests/test_isr.py",
    ],
)
def test_a_checkout_without_links_is_whole(command: str, without_links: Path) -> None:
    tool, *arguments = command.split()
    script = shutil.which(tool, path=str(Path(sys.executable).parent))
    assert script is not None
    ran = subprocess.run(
        [script, *arguments], cwd=without_links, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(without_links)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
def test_the_wheel_holds_exactly_the_intended_packages(without_links: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path),
         str(without_links)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    packages = {
        str(Path(name).parent) for name in names
        if name.endswith(".py") and name.startswith("edaformer/")
    }  # fmt: skip
    folders = [path.parent for path in (ROOT / "edaformer").rglob("*.py")]
    assert packages == {folder.relative_to(ROOT).as_posix() for folder in folders}
    assert {name for name in packages if name.count("/") == 1} == {
        f"edaformer/{room}"
        for room in ("cli", "data", "engines", "evaluation", "export", "families", "labels",
                     "machine", "media", "remote")
    }  # fmt: skip
    demo = {name for name in names if name.startswith("edaformer/demo/")}
    assert demo == {"edaformer/demo/README.md", "edaformer/demo/edaformer_t_scenes.safetensors"}
    folder = "edaformer/engines/runtime/kernels/"
    kernels = {name.removeprefix(folder) for name in names if name.startswith(folder)}
    assert kernels == {
        "__init__.py", "argmax.cuh", "frame.cuh", "half_pixel.cuh", "kernels.cu", "kernels.ptx",
        "labels.cuh", "portable.cuh",
    }  # fmt: skip
    assert wheel.stat().st_size <= 15e6
    assert "edaformer/py.typed" in names
    assert {
        name
        for name in names
        if name.endswith((".txt", ".jinja")) and name.startswith("edaformer/")
    } == {
        *(f"edaformer/data/names/{name}.txt" for name in ("ade20k", "cityscapes", "cocostuff164k")),
        "edaformer/engines/validate/reports/page.html.jinja",
        "edaformer/engines/tune/front.html.jinja",
    }
    own = f"edaformer_deploy-{_version()}"
    tops = {Path(name).parts[0] for name in names}
    assert tops == {"edaformer", f"{own}.dist-info", f"{own}.data"}
    examples = f"{own}.data/data/share/edaformer-deploy/examples/"
    shipped = {name.removeprefix(examples) for name in names if name.startswith(f"{own}.data/")}
    assert shipped == {
        path.relative_to(ROOT / "examples").as_posix()
        for path in (ROOT / "examples").rglob("*") if path.suffix in SHIPPED
    }  # fmt: skip


def _version() -> str:
    from edaformer.version import __version__

    return __version__


def test_folders_at_the_root_are_linked_relatively() -> None:
    for name in LINKS:
        assert str((ROOT / name).readlink()) == f"edaformer/{name}"


def test_no_folder_is_a_heap() -> None:
    folders = {path.parent for path in (ROOT / "edaformer").rglob("*.py")}
    assert [folder for folder in folders if len(list(folder.glob("*.py"))) > 16] == []
    assert len([path for path in (ROOT / "edaformer/engines").iterdir() if path.is_file()]) <= 2


def test_tests_mirror_the_package() -> None:
    """Every folder of tests below tests/ has its folder in the package."""
    outside = {"benchmarks", "classic", "hostile", "pages"}
    mirrored = {path.parent.relative_to(ROOT / "tests") for path in ROOT.glob("tests/**/test_*.py")}
    strange = [
        folder for folder in mirrored
        if not {*folder.parts} & outside and not (ROOT / "edaformer" / folder).is_dir()
    ]  # fmt: skip
    assert strange == []


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {_version()}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_workflow_runs_what_is_here() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    assert "make test" in text
    for extra in re.findall(r'"\[([a-z,]+)\]"', text):
        assert set(extra.split(",")) <= set(PROJECT["optional-dependencies"])
    for program in re.findall(r"(?:tools|benchmarks)/\w+\.py", text):
        assert (ROOT / program).is_file()

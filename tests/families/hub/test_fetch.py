"""Models of the Hub: what is fetched, what is kept, and every way that fetching can fail.

huggingface_hub reads its settings when it is imported, so each try is a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edaformer.files import sha256_of_all
from tests.conftest import ROOT
from tests.families.segformer.hugging import save_folder
from tests.hub_server import FIRST, SECOND, TOKEN, Hub, Model, repository, serving
from tests.once import once

FETCH = """
import json, sys
from edaformer.errors import EdaformerError
from edaformer.families.hub.fetch import fetch
from edaformer.families.identity import hub_id

told = []
try:
    made = fetch(hub_id(sys.argv[1]), told.append)
except EdaformerError as error:
    print(json.dumps({"code": error.exit_code, "error": str(error), "told": told}))
else:
    print(json.dumps({"code": 0, "folder": str(made.folder), "hub": vars(made.hub), "told": told,
                      "files": made.files, "sha256": made.sha256}))
"""
ALL = ("config.json", "preprocessor_config.json", "model.safetensors")


@dataclass(frozen=True)
class Ran:
    """What became of a try."""

    made: dict[str, object]
    stderr: str

    def refused(self, code: int, *words: str) -> None:
        assert self.made["code"] == code, self.made
        for word in words:
            assert word in str(self.made["error"])
        assert self.stderr == ""


@pytest.fixture(scope="session")
def folder(shared: Path) -> Path:
    return once(
        shared, "hub_model", lambda: save_folder(shared / "hub_model", {"do_resize": False})
    )


@pytest.fixture
def hub(folder: Path) -> Iterator[Hub]:
    files = {**repository(folder), "README.md": b"# a model", "pytorch_model.bin": b"\x80"}
    changed = {**files, "config.json": files["config.json"] + b"\n"}
    refs = {"main": FIRST, "v1": FIRST, "next": SECOND}
    with serving(
        small=Model({FIRST: files, SECOND: changed}, refs),
        gated=Model({FIRST: files}, gated=True),
        pickled=Model({FIRST: {n: files[n] for n in ("config.json", "pytorch_model.bin")}}),
        bare=Model({FIRST: {"config.json": files["config.json"]}}),
        words=Model({FIRST: {"README.md": b""}}),
    ) as served:
        yield served


def tried(hub: Hub, home: Path, text: str, *, before: str = "", **environment: str) -> Ran:
    ran = subprocess.run(
        [sys.executable, "-c", before + FETCH, text], capture_output=True, text=True, check=True,
        env=hub.environment(home, PYTHONPATH=str(ROOT), **environment), cwd=home.parent,
    )  # fmt: skip
    return Ran(json.loads(ran.stdout), ran.stderr)


def left(home: Path) -> list[str]:
    """What has a name and is not whole."""
    blobs = [path.name for path in home.rglob("blobs/*")]
    return [name for name in blobs if len(name) not in {40, 64}]


def test_what_matters_is_fetched_once(hub: Hub, folder: Path, tmp_path: Path) -> None:
    first = tried(hub, tmp_path / "home", "tests/small").made
    assert first["hub"] == {"id": "tests/small", "revision": "main", "commit": FIRST}
    assert sorted(first["files"]) == sorted(ALL)  # type: ignore[call-overload]
    assert sorted(hub.fetched()) == sorted(ALL)  # no README, no pickle
    assert first["sha256"] == sha256_of_all(folder / name for name in ALL)
    made = Path(str(first["folder"]))
    assert {path.name: path.read_bytes() for path in made.iterdir()} == {
        name: (folder / name).read_bytes() for name in ALL
    }
    assert first["told"] == [
        f"asking {hub.url} for tests/small",
        "fetching preprocessor_config.json of tests/small",
        "fetching adapter_config.json of tests/small",
        "fetching model.safetensors of tests/small",
    ]
    hub.asked.clear()
    again = tried(hub, tmp_path / "home", "tests/small").made
    assert again == {**first, "told": [f"asking {hub.url} for tests/small"]}
    assert hub.fetched() == []
    hub.asked.clear()
    pinned = tried(hub, tmp_path / "home", f"tests/small@{FIRST}").made
    assert (pinned["sha256"], pinned["told"], hub.asked) == (first["sha256"], [], [])


def test_what_others_fetch_into_the_folder_changes_no_hash(hub: Hub, tmp_path: Path) -> None:
    first = tried(hub, tmp_path / "home", "tests/small").made
    (Path(str(first["folder"])) / "model.fp16.safetensors").write_bytes(b"another program's")
    assert tried(hub, tmp_path / "home", "tests/small").made["sha256"] == first["sha256"]


@pytest.mark.parametrize(
    ("text", "commit"),
    {"tests/small@v1": FIRST, "tests/small@next": SECOND, f"tests/small@{SECOND}": SECOND}.items(),
)
def test_revisions(hub: Hub, tmp_path: Path, text: str, commit: str) -> None:
    made = tried(hub, tmp_path / "home", text).made
    assert made["hub"] == {
        "id": "tests/small", "revision": text.partition("@")[2], "commit": commit
    }  # fmt: skip


def test_shards(hub: Hub, folder: Path, tmp_path: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = {"weight_map": {"a": shards[0], "b": shards[1], "c": "../x.safetensors", "d": 1}}
    hub.models["tests/small"].commits[FIRST] = {
        "config.json": b"{}", "model.safetensors.index.json": json.dumps(index).encode(),
        shards[0]: weights, shards[1]: weights + b"x", "model-of-another.safetensors": b"",
    }  # fmt: skip
    made = tried(hub, tmp_path / "home", "tests/small").made
    assert made["files"] == ["config.json", "model.safetensors.index.json", *shards]


def test_wrong_ids(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    tried(hub, home, "tests/nothing").refused(
        2, "nothing at tests/nothing on this machine", f"{hub.url} has no model of that id",
        "check the path or the id", "HF_TOKEN",
    )  # fmt: skip
    tried(hub, home, "tests/small@v9").refused(2, "no revision 'v9'", "commits/main")
    tried(hub, home, f"tests/small@{'3' * 40}").refused(2, f"no revision '{'3' * 40}'")
    tried(hub, home, "tests/pickled").refused(2, "pytorch_model.bin alone", "save_pretrained")
    tried(hub, home, "tests/bare").refused(2, "has no model.safetensors")
    tried(hub, home, "tests/words").refused(2, "has no config.json")
    assert left(home) == []


def test_a_token(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    tried(hub, home, "tests/gated").refused(
        3, "tests/gated is given only to those who asked", f"{hub.url}/tests/gated", "HF_TOKEN"
    )
    assert tried(hub, home, "tests/gated", HF_TOKEN=TOKEN).made["code"] == 0
    # what is in the cache is not given to whoever may not have it from the Hub, but to who pins it
    tried(hub, home, "tests/gated").refused(3, "only to those who asked")


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_hub_that_refuses(hub: Hub, tmp_path: Path, status: int) -> None:
    hub.status = status
    ran = tried(hub, tmp_path / "home", "tests/small", HF_TOKEN=TOKEN)
    ran.refused(3, hub.url, str(status))


def test_a_connection_that_breaks_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    data = bytes(range(256)) * 100_000  # 25.6 MB: huggingface_hub writes 10 MiB at a time
    hub.models["tests/small"].commits[FIRST]["model.safetensors"] = data
    hub.cuts = 1
    made = tried(hub, tmp_path / "home", "tests/small").made
    assert (Path(str(made["folder"])) / "model.safetensors").read_bytes() == data
    ranges = [ranged for _, path, ranged in hub.asked if path.startswith("/cdn/")]
    assert ranges == [None, f"bytes={10 << 20}-"]


@pytest.mark.slow
def test_a_connection_that_stays_away(hub: Hub, folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.cuts, hub.dead = 1, True
    tried(hub, home, "tests/small").refused(3, "broke off", "type the line again")
    assert left(home) == []
    (made,) = home.rglob("snapshots/*")
    assert {path.name for path in made.iterdir()} == {"config.json", "preprocessor_config.json"}
    hub.dead = False
    hub.asked.clear()
    again = tried(hub, home, "tests/small").made
    assert again["sha256"] == sha256_of_all(folder / name for name in ALL)
    assert hub.fetched() == ["model.safetensors"]  # the others are there


def test_what_comes_damaged_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.spoilt = True
    tried(hub, home, "tests/small").refused(
        3, "model.safetensors of tests/small was not as the Hub has it", "removed"
    )
    hub.spoilt = False
    assert tried(hub, home, "tests/small").made["code"] == 0


def test_what_the_disk_has_damaged_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = Path(str(tried(hub, home, "tests/small").made["folder"]))
    for name in ("config.json", "model.safetensors"):
        blob = (folder / name).resolve()
        blob.write_bytes(blob.read_bytes()[:-1] + b"?")
        tried(hub, home, f"tests/small@{FIRST}").refused(3, f"{name} of tests/small", "removed")
        assert tried(hub, home, "tests/small").made["code"] == 0


def test_offline(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    off = {"HF_HUB_OFFLINE": "1"}
    tried(hub, home, "tests/small", **off).refused(3, "not whole in the Hub's cache", str(home))
    first = tried(hub, home, "tests/small").made
    hub.asked.clear()
    for text in ("tests/small", f"tests/small@{FIRST}"):
        assert tried(hub, home, text, **off).made["sha256"] == first["sha256"]
    tried(hub, home, "tests/small@next", **off).refused(3, "tests/small@next is not whole")
    assert hub.asked == []


def test_offline_half_a_folder_is_none(hub: Hub, tmp_path: Path) -> None:
    """As another program leaves it that asked for the weights alone."""
    home = tmp_path / "home"
    folder = Path(str(tried(hub, home, "tests/small").made["folder"]))
    (folder / "preprocessor_config.json").unlink()
    tried(hub, home, "tests/small", HF_HUB_OFFLINE="1").refused(3, "not whole")


def test_without_a_network(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = tried(hub, home, "tests/small").made
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    made = tried(hub, home, "tests/small", **nobody).made
    assert made["sha256"] == first["sha256"]
    assert f"taking tests/small as the cache last had it, commit {FIRST}" in str(made["told"])
    tried(hub, home, "tests/bare", **nobody).refused(
        3, "nothing at tests/bare on this machine", "http://127.0.0.1:9 does not answer"
    )


def test_a_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file")
    tried(hub, home, "tests/small").refused(2, "cannot write the Hub's cache", "HF_HOME")


def test_a_full_disk(hub: Hub, tmp_path: Path) -> None:
    """A limit on the size of files stands for it: the weights do not fit, the words do."""
    limit = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
    )
    ran = tried(hub, tmp_path / "home", "tests/small", before=limit)
    ran.refused(2, "cannot write", "free some space")
    assert left(tmp_path / "home") == []


def test_without_the_package(hub: Hub, tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['huggingface_hub'] = None\n"
    tried(hub, tmp_path / "home", "tests/small", before=hidden).refused(
        3, "nothing at tests/small on this machine", "'huggingface_hub', which is not installed",
        "[segformer]",
    )  # fmt: skip
    assert hub.asked == []

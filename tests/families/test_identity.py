"""When a text is an id of the Hub, and when it is a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from edaformer.families.identity import Hub, HubId, hint, hub_id

COMMIT = "0123456789abcdef0123456789abcdef01234567"

IDS = {
    "nvidia/segformer-b0-finetuned-ade-512-512": "main",
    "nvidia/mit_b0.v2@v1.0": "v1.0",
    "nvidia/mit-b0@refs/pr/4": "refs/pr/4",
    f"nvidia/mit-b0@{COMMIT}": COMMIT,
    "hf://nvidia/mit-b0": "main",
    "hf://nvidia/best.pth@x": "x",  # said to be one
}
PATHS = (
    "segformer-b0",  # a variant
    "./nvidia/mit-b0", "../mit-b0/x", "/nvidia/mit-b0", "nvidia/mit-b0/", "nvidia//mit-b0",
    "nvidia\\mit-b0", "C:/mit-b0", "~/mit-b0", "runs/b0/best", "runs/best.pth",
    "runs/b.safetensors", "runs/best.pth@main",
    "runs/model.onnx", "runs/model.PLAN", "nvidia/mit--b0", "nvidia/mit..b0",
    "nvidia/.b0", "nvidia/b0-", "nvidia/b0@", "nvidia/b0@a b", "nvidia/b0@../x", "nvidia/b0@a//b",
    "nvidia/b 0", "nvidia/b0\n", "nvidia/" + "b" * 97, "", "/", "@main", "hf://b0", "https://x/y",
)  # fmt: skip


@pytest.mark.parametrize("text", IDS)
def test_ids(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = hub_id(text)
    assert found is not None
    assert found.revision == IDS[text]
    assert found.is_pinned == (found.revision == COMMIT)
    assert hub_id(str(found)) in {found, None}  # None: only hf:// makes best.pth one


@pytest.mark.parametrize("text", PATHS)
def test_paths(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub_id(text) is None


def test_what_is_here_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub_id("nvidia/b0") == HubId("nvidia/b0")
    Path("nvidia").mkdir()
    for text in ("nvidia/b0", "nvidia/b0@main"):  # a folder of that name: a path, mistyped
        assert hub_id(text) is None
        assert hint(text) == ", or write hf://nvidia/b0 for that id of the Hugging Face Hub"
        assert hub_id(f"hf://{text}") == HubId("nvidia/b0")
    Path("other").symlink_to("nowhere")  # a link that leads nowhere is a path as well
    assert hub_id("other/b0") is None
    assert hint("runs/b0/best") == hint("best.pth") == hint("runs/best.pth") == ""


def test_what_artifacts_record_is_one() -> None:
    hub = Hub("nvidia/b0", "main", COMMIT)
    assert hub.pinned == f"nvidia/b0@{COMMIT}"
    assert hub.text == f"nvidia/b0 at commit {COMMIT} (main)"
    for wrong in (
        ("b0", "main", COMMIT),
        ("nvidia/b0", "a b", COMMIT),
        ("nvidia/b0", "main", "12"),
    ):
        with pytest.raises(ValueError, match="expected an id"):
            Hub(*wrong)

"""How a page is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import page as pages
from tests.pages.process import DEVICE, HERE, places

TEXT = """# A page: *with* `code`, twice

See [this](other.md#there) and [that][named], `[not](this.md)`.

[named]: named.md

```console
$ edaformer-info T \\
    --classes 19    # counts
T
  parameters 1
$ edaformer-info B
```

```console
edaformer-run ARTIFACT INPUT
              [--show]
# a remark
make test
```

- in a list
  ```python
  import edaformer
  with edaformer.Engine.load("x.plan"):
      pass
  ```

    edaformer-build a.onnx && mv a.plan b.plan

    [no](link.md)

    edaformer-info b.plan

## A page: with code, twice
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    made = tmp_path / "page.md"
    made.write_text(TEXT)
    return made


def test_blocks_and_their_commands(path: Path) -> None:
    first, second, snippet, third, fourth, fifth = pages.blocks(path)
    assert first.commands == ("edaformer-info T --classes 19", "edaformer-info B")
    assert second.commands == ("edaformer-run ARTIFACT INPUT [--show]", "make test")
    assert (snippet.language, snippet.first) == ("python", "import edaformer")
    assert third.commands == ("edaformer-build a.onnx && mv a.plan b.plan",)
    assert fourth.commands == ()
    assert fifth.commands == ("edaformer-info b.plan",)
    for block in (first, snippet, fifth):
        assert TEXT.splitlines()[block.line - 1].strip() == block.text.splitlines()[0].strip()


def test_places(path: Path) -> None:
    """The device's page goes on at the device."""
    assert [at for _, at in places(pages.blocks(path))] == [HERE, HERE, DEVICE, DEVICE, DEVICE]


def test_links_and_what_they_name(path: Path) -> None:
    assert pages.links(path) == ["other.md#there", "named.md"]
    assert pages.anchors(path) == {"a-page-with-code-twice", "a-page-with-code-twice-1"}


def test_parts_of_a_line() -> None:
    assert pages.parts("A=1 a 'b c' && d | e -x=1") == [["a", "b c"], ["d"], ["e", "-x=1"]]
    assert pages.is_simple("edaformer-run 'a/**/*.png'")
    assert not pages.is_simple("edaformer-info T > T.txt")
    assert not pages.is_simple("edaformer-info $NAME")

"""The page and the XML: structure by parsers, looks by a real browser where there is one."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from edaformer.data import open_dataset
from edaformer.engines.validate.gates import Gates
from edaformer.engines.validate.reports.junit import junit_xml
from edaformer.engines.validate.reports.page import html_report
from edaformer.engines.validate.validate import validate
from edaformer.engines.validate.validation import Validation
from edaformer.export.bisect import Departure, Difference
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from tests.browser import needs_browser, screenshot
from tests.folder import lay_folder

_VOID = {"meta", "link", "br", "img", "rect"}


class Page(HTMLParser):
    """Checks that tags close and remembers what matters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def result(
    small_export: ExportResult,
    small_checkpoint: Checkpoint,
    tmp_path_factory: pytest.TempPathFactory,
) -> Validation:
    """Two images, one of another size than the artifact's, and a class with markup in its name."""
    sizes = {"plain": (60, 90), "<b>large": (70, 100)}
    pairs = [(natural_noise(1, size)[0], np.full(size, 2, np.uint8)) for size in sizes.values()]
    root = lay_folder(tmp_path_factory.mktemp("data"), pairs, names=sizes)
    data = replace(open_dataset(f"folder:{root}", (60, 90)), notes=("half <i>of it</i>",))
    gates = Gates(max_miou_drop=50, min_agreement=1, trust_labels=True)
    return validate(small_export.path, small_checkpoint, data, gates=gates)


def test_the_size_that_does_not_fit_is_a_row_of_its_own(result: Validation) -> None:
    assert (result.fitted, result.fit) == (1, "slide")
    assert result.letter is not None
    assert result.letter.score != result.reference.score
    made = json.loads(json.dumps(result.to_json()))
    assert made["to_the_letter"]["miou"] == result.letter.score.miou
    assert made["delta_fit"] == result.reference.score.miou - result.letter.score.miou


def test_the_page_needs_nothing_else(result: Validation) -> None:
    text = html_report(result)
    page = Page(text)
    assert "script" not in page.tags
    links = [value for _, name, value in page.attributes if name in {"src", "href"}]
    assert len(links) == 2 * 5 + 1
    assert all(value.startswith("data:") for value in links)
    assert "http" not in text.replace(result.manifest.to_json(), "")
    assert ("meta", "content", "width=device-width, initial-scale=1") in page.attributes


def test_the_verdict_and_the_gates_come_first(result: Validation) -> None:
    page = Page(html_report(result))
    headings = re.findall(r"<h[12][^>]*>([^<]+)", html_report(result))
    assert headings == ["FAILED", "Gates", "Figures", "What changes mIoU", "Where labels differ",
                        "What ISR changes, by class", "What precision changes, by class",
                        "Images of least agreement",
                        "Manifest"]  # fmt: skip
    assert result.failures[0] in page.text
    passed = replace(result, gates=tuple(replace(gate, failure=None) for gate in result.gates))
    assert re.findall(r"<h1>([^<]+)", html_report(passed)) == ["Passed"]


def test_names_are_no_markup(result: Validation) -> None:
    text = html_report(replace(result, classes=("<script>", *result.classes[1:])))
    assert "<b>large" not in text
    assert "<i>of it" not in text
    assert "<script" not in text
    assert "half <i>of it</i>" in Page(text).text


def test_names_that_no_page_can_hold(result: Validation) -> None:
    """A folder's control character and a file name's byte that is no UTF-8."""
    strange = replace(result, data="folder:a\x01b\udcff", notes=("\x1b[31m",))
    page = html_report(strange).encode()
    assert rb"folder:a\x01b\udcff" in page
    assert rb"\x1b[31m" in page
    assert not {b"\x01", b"\x1b"} & {bytes([one]) for one in page}
    suite = ET.fromstring(junit_xml(strange)).find("testsuite")
    assert suite is not None
    assert suite.get("name") == r"folder:a\x01b\udcff"


def test_figures_bars_and_manifest_are_the_result_s(result: Validation) -> None:
    text = html_report(result)
    page = Page(text)
    for row in (result.reference_base, result.reference, result.candidate, result.letter):
        assert row is not None
        assert f"{row.score.miou:.3f}" in page.text
    changes = (*result.delta_iou_isr, *result.delta_iou)
    assert page.tags.count("svg") == sum(1 for value in changes if not math.isnan(value))
    assert page.text.count("to the letter") == 4  # row, what it stands for, and the sentence
    shown = re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)
    assert shown is not None
    assert json.loads(Page(f"<pre>{shown[1]}</pre>").text)["isr"] == result.manifest.isr


@pytest.mark.parametrize(
    ("change", "spread", "look", "length"),
    [
        (-0.05, (-0.06, -0.04), "worse", 25),  # of half a cell, which is the gate
        (0.02, (0.01, 0.03), "better", 10),
        (-0.05, (-0.2, 0.1), "unsure", 25),
        (-0.4, (-0.6, -0.1), "worse", 50),
        (-0.05, None, "unsure", 25),  # one image tells nothing
    ],
)
def test_bars_are_held_against_the_gate(
    change: float, spread: tuple[float, float] | None, look: str, length: float, result: Validation
) -> None:
    """So that a hundredth of a point looks like one; grey is what may be chance."""
    gates = (replace(result.gates[0], name="max_miou_change", limit=0.1), *result.gates[1:])
    iou = tuple(value + change * (at == 2) for at, value in enumerate(result.reference.score.iou))
    moved = replace(
        result, gates=gates,
        candidate=replace(result.candidate, score=replace(result.candidate.score, iou=iou)),
        intervals_iou={**result.intervals_iou, "delta_iou": (spread,) * len(iou)},
    )  # fmt: skip
    text = html_report(moved).partition('id="classes"')[2].partition('id="worst"')[0]
    row = next(one for one in text.split("<tr>") if one.startswith(f"<td>{result.classes[2]}<"))
    assert f'class="{look}"' in row
    assert f'width="{length:.3f}"' in row


def test_what_isr_changes_is_told_by_class(result: Validation) -> None:
    text = html_report(result).partition('id="classes-isr"')[2].partition('id="classes"')[0]
    for name, before, after in zip(
        result.classes, result.reference_base.score.iou, result.reference.score.iou, strict=True
    ):
        row = next(one for one in text.split("<tr>") if one.startswith(f"<td>{name}<"))
        assert (f"{after - before:+.3f}" in row) == (not math.isnan(after - before))
    intervals = result.to_json()["intervals"]
    assert set(intervals["delta_iou_isr"]) == set(intervals["delta_iou"]) == set(result.classes)


def test_pictures_are_the_images(result: Validation) -> None:
    sources = re.findall(r'src="data:image/(\w+);base64,([^"]+)"', html_report(result))
    pictures = [Image.open(io.BytesIO(base64.b64decode(data))) for _, data in sources]
    first = result.worst[0]
    assert {p.size for p in pictures[:5]} == {first.image.shape[1::-1]}
    assert (np.asarray(pictures[1]) == first.truth).all()
    assert (np.asarray(pictures[2]) == first.reference).all()
    assert (np.asarray(pictures[3]) == first.candidate).all()
    red = np.asarray(pictures[4].convert("RGB"))[first.reference != first.candidate]
    assert (red[:, 0] > 180).all()


def test_a_large_image_is_reduced(result: Validation) -> None:
    shown = result.worst[0]
    wide = replace(
        shown, image=np.zeros((100, 1500, 3), np.uint8),
        **dict.fromkeys(("truth", "reference", "candidate"), np.zeros((100, 1500), np.uint8)),
    )  # fmt: skip
    sources = re.findall(r"base64,([^\"]+)", html_report(replace(result, worst=(wide,))))
    assert {Image.open(io.BytesIO(base64.b64decode(s))).size for s in sources} == {(640, 43)}


@pytest.mark.parametrize("error", [1.0, 3.0])
def test_bisect_is_told(error: float, result: Validation) -> None:
    departure = Departure("an image", "a rule", (Difference("encoder.x", error, 2.0),), ())
    text = Page(html_report(replace(result, departure=departure))).text
    said = "is the first of 1 modules to leave float32" if error > 2 else "comes closest, at 50 %"
    assert said in text
    assert "encoder.x" in text


def test_junit(result: Validation) -> None:
    """By the common schema: attributes it requires, children in its order."""
    root = ET.fromstring(junit_xml(result))
    (suite,) = root
    assert root.tag == "testsuites"
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["errors"]) == (
        "3", "1", "0"
    )  # fmt: skip
    assert [child.tag for child in suite] == ["properties", "testcase", "testcase", "testcase"]
    labels, *cases = suite.findall("testcase")
    assert labels.get("name") == "labels"
    assert [case.attrib["name"] for case in cases] == ["max_miou_change", "min_agreement"]
    assert all(case.attrib["classname"] for case in cases)
    assert cases[0].find("failure") is None
    failure = cases[1].find("failure")
    assert failure is not None
    assert failure.attrib == {"message": result.failures[0], "type": "gate"}
    names = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    assert float(names["miou"]) == result.candidate.score.miou


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_shows_it_without_complaint(
    width: int, result: Validation, tmp_path: Path
) -> None:
    picture = screenshot(html_report(result), tmp_path, width)
    tinted = (picture == (253, 243, 243)).all(axis=2)  # the ground of a failed verdict
    assert tinted[:300].any()
    assert not tinted[:, -8:].any()  # nothing hangs over the right edge

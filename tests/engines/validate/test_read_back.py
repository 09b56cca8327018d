"""A validation out of its own JSON is the validation, as far as that says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edaformer.cli.texts.validation import print_validation
from edaformer.data import open_dataset
from edaformer.engines.validate.gates import Gates
from edaformer.engines.validate.read_back import read_validation
from edaformer.engines.validate.validate import validate
from edaformer.engines.validate.validation import Validation
from edaformer.errors import InputError
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from tests.folder import lay_folder

SIZE = (60, 90)


@pytest.fixture(scope="module", params=["as it is", "from the picture on", "of another size"])
def result(
    request: pytest.FixtureRequest, small_export: ExportResult, small_checkpoint: Checkpoint,
    tmp_path_factory: pytest.TempPathFactory,
) -> Validation:  # fmt: skip
    size = (80, 100) if request.param == "of another size" else SIZE
    pairs = ((image, image[..., 0] % 4) for image in natural_noise(2, size))  # a class is absent
    data = lay_folder(tmp_path_factory.mktemp("data"), pairs)
    return validate(
        small_export.path, small_checkpoint, open_dataset(f"folder:{data}", SIZE), provider="cpu",
        gates=Gates(max_miou_drop=0.0, min_agreement=1.0, trust_labels=False),
        frames=request.param == "from the picture on",
    )  # fmt: skip


def told(result: Validation) -> dict[str, Any]:
    """As --json prints it."""
    made: dict[str, Any] = json.loads(json.dumps(result.to_json()), parse_constant=lambda _: None)
    return made


def test_it_says_the_same(result: Validation, capsys: pytest.CaptureFixture[str]) -> None:
    again = read_validation(told(result), result.manifest)
    assert told(again) == told(result)
    print_validation(result, per_class=True)
    first = capsys.readouterr()
    print_validation(again, per_class=True)
    assert capsys.readouterr() == first
    assert again.failures == result.failures


@pytest.mark.parametrize("change", [{"candidate": None}, {"size": "x"}, {"flips": {"a": 1}}])
def test_what_is_none_is_refused(result: Validation, change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        read_validation(told(result) | change, result.manifest)

"""The same validation in this process and in many: the same JSON, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edaformer.data import Dataset, open_dataset
from edaformer.engines.artifact import preflight
from edaformer.engines.build.build import BuildResult
from edaformer.engines.spread.job import Placed
from edaformer.engines.spread.spread import Spread
from edaformer.engines.validate.comparing import ComparisonJob, Question, contributions
from edaformer.engines.validate.gates import Gates
from edaformer.engines.validate.reference_cache import ReferenceCache
from edaformer.engines.validate.saved import SavedAnswers, Saving
from edaformer.engines.validate.validate import compare, validate
from edaformer.errors import DataError, InputError, ServerError
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.machine.gpu import Gpu
from edaformer.machine.jetson import Jetson
from tests.folder import lay_folder

SIZE = (60, 90)
LOOSE = Gates(max_miou_drop=5, min_agreement=0.9, trust_labels=True)
COUNT = 9


@pytest.fixture(autouse=True)
def _a_thread_each(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyTorch's sums depend on how many there are: as many here as a worker has."""
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    truth = np.random.default_rng(0).integers(0, 5, (COUNT, *SIZE)).astype(np.uint8)
    truth[:, :3] = 255
    pairs = zip(natural_noise(COUNT, SIZE), truth, strict=True)
    folder = lay_folder(tmp_path / "data", pairs, ("road", "sky", "tree", "car", "sign"))
    return open_dataset(f"folder:{folder}", SIZE)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_two_processes_find_what_one_does_and_one_writes_the_cache(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Dataset, tmp_path: Path
) -> None:
    def run(name: str, spread: Spread | None) -> tuple[str, list[tuple[int, bytes]]]:
        result = validate(
            small_export.path, small_checkpoint, data, gates=LOOSE, spread=spread, keep_worst=3,
            cache=ReferenceCache(tmp_path / name), frames=True,
        )  # fmt: skip
        worst = [(shown.index, shown.candidate.tobytes()) for shown in result.worst]
        return json.dumps(result.to_json()), worst

    spread = Spread("processes", 2)
    alone = run("alone", None)
    assert run("spread", spread) == alone
    assert files(tmp_path / "spread") == files(tmp_path / "alone") != {}
    assert sum(share["images"] for share in spread.team.to_json()) == COUNT
    again = Spread("processes", 1)
    assert run("spread", again) == alone  # out of the cache


def test_workers_ask_a_served_model_by_its_address(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Dataset, tmp_path: Path
) -> None:
    saved = tmp_path / "street.ref"
    validate(small_export.path, small_checkpoint, data, gates=LOOSE, save=saved)
    with SavedAnswers(saved) as answers:
        question = Question(Path("triton://localhost:8000/street"), "auto", answers.setting, 3)
        job = ComparisonJob(question, answers.shared(), needs_gpu=False)
        assert job.files == (saved,)  # nothing of it is read, or sent anywhere
        with pytest.raises(ServerError, match="localhost:8000/street"):
            next(contributions(question, answers, Spread("processes", 1), 1))


def test_a_plan_goes_only_to_gpus_that_it_runs_on(
    small_plan: BuildResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with another is refused by edaformer-check's verdict, before it opens anything."""
    unread: Any = None
    question = Question(small_plan.path, "auto", unread, 3)
    job = ComparisonJob(question, unread, needs_gpu=True)
    orin = Gpu("Orin", "8.7", integrated=True, memory_bytes=16 << 30, cuda_version=(12, 6))
    jetson = Jetson("R36.4", "6.2", "10.3.0.30")
    monkeypatch.setattr(preflight, "query_gpu", lambda: orin)
    monkeypatch.setattr(preflight, "read_jetson", lambda: jetson)
    with pytest.raises(InputError, match=r"will not run here: .*no target for a Jetson"):
        job.open(Placed(1, {}))


def test_by_a_reference_file_too_and_the_first_bad_image_is_told(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Dataset, tmp_path: Path
) -> None:
    saved = tmp_path / "street.ref"
    alone = validate(small_export.path, small_checkpoint, data, gates=LOOSE, save=saved)
    with SavedAnswers(saved) as answers:
        made = compare(
            small_export.path, answers, gates=LOOSE, spread=Spread("processes", 2)
        )  # fmt: skip
    assert json.dumps(made.to_json()) == json.dumps(alone.to_json())
    with SavedAnswers(saved) as answers, pytest.raises(InputError, match="from one process"):
        Saving(answers, tmp_path / "other.ref").shared()
    data.files(4)[0].write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read as an image"):
        validate(
            small_export.path, small_checkpoint, data, gates=LOOSE, spread=Spread("processes", 1)
        )

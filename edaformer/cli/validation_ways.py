"""The ways to validate: at the desk, where PyTorch is, and by what the desk has saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.cli.common import say, say_notes
from edaformer.cli.options.checkpoints import find
from edaformer.cli.progress import image_progress, steps
from edaformer.cli.texts.validation import print_saved
from edaformer.errors import InputError, require

if TYPE_CHECKING:
    from edaformer.data import Dataset
    from edaformer.engines.spread.spread import Spread
    from edaformer.engines.validate.gates import Gates
    from edaformer.engines.validate.reference_cache import ReferenceCache
    from edaformer.engines.validate.validation import Validation
    from edaformer.evaluation.protocol import FitName, Protocol
    from edaformer.families.checkpoint import Checkpoint
    from edaformer.families.given import Given
    from edaformer.families.table import Found


@dataclass(frozen=True)
class Desk:
    """What PyTorch is asked, and about which images."""

    checkpoint: str | None  # None: the demo's
    original: str | None  # that it was adapted from; None: beside it, if it was
    given: Given  # what a person says of it, where no artifact does
    data: str
    labels: str | None  # how they are stored; None: the data set's way
    limit: int | None
    protocol: str | None  # None: the data set's
    scales: tuple[float, ...]
    flip: bool
    fit: FitName | None
    frames: bool
    cache: ReferenceCache | None
    workers: int
    save: Path | None
    with_images: bool
    spread: Spread | None

    def validate(self, artifact: Path, gates: Gates, provider: str, *, find: bool) -> Validation:
        """An artifact that is here."""
        from edaformer.engines.artifact.kind import artifact_manifest

        manifest = artifact_manifest(artifact)
        source = self._source()
        with steps("loading PyTorch, checkpoint and data"):
            require("torch", "export")
            from edaformer.engines.validate.bisect import bisect, probed
            from edaformer.engines.validate.validate import validate
            from edaformer.families.table import load_checkpoint

            if find:
                probed(artifact)  # so that what is missing is said before an hour's work
            loaded = load_checkpoint(source, manifest.given)
            original = self._original(loaded, manifest.given)
            dataset = self._dataset(manifest.size, loaded)
            protocol = self._protocol(dataset)
        with image_progress(_who(self.spread)) as on_image:
            result = validate(
                artifact, loaded, dataset, gates=gates, provider=provider, protocol=protocol,
                fit=self.fit, frames=self.frames, cache=self.cache, workers=self.workers,
                original=original, save=self.save, with_images=self.with_images,
                spread=self.spread, on_image=on_image,
            )  # fmt: skip
        if find:
            worst = result.worst[0]
            with steps(f"bisecting on {worst.name}"):
                departure = bisect(
                    artifact, loaded, worst.image, name=worst.name, protocol=protocol, fit=self.fit
                )
            result = replace(result, departure=departure)
        return result

    def save_for(self, isr: str | None, size: str | None, align: str | None) -> None:
        """The answers alone, for an artifact that is not here."""
        if self.save is None:
            raise InputError(
                "name an artifact to validate, or --save-reference FILE to write one for"
            )
        from edaformer.isr import ISR
        from edaformer.preprocess import (
            ALIGN,
            DEFAULT_SIZE,
            aligned,
            format_size,
            parse_align,
            parse_size,
        )

        source = self._source()
        with steps("loading PyTorch and the checkpoint"):
            require("torch", "export")
            from edaformer.engines.validate.procedure import make_procedure
            from edaformer.engines.validate.pytorch import PyTorchAnswers
            from edaformer.engines.validate.saved import Saving
            from edaformer.families.table import load_checkpoint

            loaded = load_checkpoint(source, self.given)
        say_notes(loaded.notes)
        usual = loaded.input_size or DEFAULT_SIZE
        if size is None:
            origin = loaded.origins.input_size
            say(f"no --size given: for an artifact of {format_size(usual)} ({origin})")
        fixed = None if size == "dynamic" else parse_size(size) if size else usual
        if fixed is None and align is not None:
            raise InputError(f"a dynamic size is padded to multiples of {ALIGN}; leave --align out")
        padding = ALIGN if align is None else parse_align(align)
        dataset = self._dataset(fixed or aligned(usual, ALIGN), loaded)
        setting = ISR.parse(isr or "base", loaded.places)
        if fixed is not None:
            setting.check_fits(*aligned(fixed, padding))
        answers = PyTorchAnswers(
            loaded, dataset, setting, make_procedure(self._protocol(dataset), fixed, self.fit),
            align=padding, frames=self.frames, cache=self.cache, workers=self.workers,
            original=self._original(loaded, self.given),
        )  # fmt: skip
        with image_progress() as on_image:
            saving = Saving(answers, self.save, with_images=self.with_images)
            for done, _ in enumerate(saving.answered(), start=1):
                on_image(done, len(saving))
        print_saved(self.save, None, None if self.with_images else self.data)

    def _source(self) -> Found:
        """The checkpoint; paths that lead nowhere are refused before PyTorch is loaded."""
        from edaformer.data import check_data

        check_data(self.data)
        return find(self.checkpoint)

    def _original(self, loaded: Checkpoint, given: Given) -> Checkpoint | None:
        """What an adapted checkpoint was adapted from."""
        from edaformer.families.table import checkpoint_sha256, load_checkpoint, owner

        if self.original is not None:
            return load_checkpoint(find(self.original), given)
        if loaded.adapted is None:
            return None
        beside = loaded.path.with_name(loaded.adapted.source)
        if owner(beside) is not None and checkpoint_sha256(beside) == loaded.adapted.source_sha256:
            return load_checkpoint(beside, given)
        say(
            f"note: {loaded.name} was adapted from {loaded.adapted.source}, which is not "
            "beside it, so base is the adapted one's; --original names it"
        )
        return None

    def _dataset(self, size: tuple[int, int], checkpoint: Checkpoint) -> Dataset:
        from edaformer.data import open_dataset

        dataset = open_dataset(self.data, size, self.labels, reduced=checkpoint.reduced_labels)
        dataset = dataset.head(self.limit)
        say_notes(dataset.notes)
        return dataset

    def _protocol(self, dataset: Dataset) -> Protocol:
        from edaformer.evaluation.protocol import get_protocol

        name = self.protocol or dataset.protocol
        return get_protocol(name, scales=self.scales, flip=self.flip)


def by_reference(
    artifact: Path | None,
    reference: Path,
    data: str | None,
    limit: int | None,
    gates: Gates,
    provider: str,
    workers: int,
    spread: Spread | None,
) -> Validation:
    """With the base install and the artifact's runtime alone."""
    from edaformer.data import open_dataset
    from edaformer.engines.validate.saved import SavedAnswers
    from edaformer.engines.validate.validate import compare

    if artifact is None:
        raise InputError(f"name the artifact that is compared with {reference}: a .plan or .onnx")
    who = _who(spread)
    with SavedAnswers(reference, workers=workers) as answers, image_progress(who) as on_image:
        answers.head(limit)
        say_notes(answers.setting.data.notes)
        if data is not None:
            if answers.has_images:
                raise InputError(f"{reference} holds its images; leave --data out")
            answers.look_in(open_dataset(data, answers.setting.size or (0, 0)))
        return compare(
            artifact, answers, gates=gates, provider=provider, workers=workers, spread=spread,
            on_image=on_image,
        )  # fmt: skip


def _who(spread: Spread | None) -> Callable[[], str]:
    return (lambda: "") if spread is None else (lambda: spread.team.text)

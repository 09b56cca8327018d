"""A file of weights that another project wrote: found out by its keys, read strictly, checked.

Nothing in it is run (families/reading). Sizes follow from the shapes; what they do not say, the
family decides. Whatever is missing, unknown, misshapen or not finite is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import Checkpoint, Coverage, Origins, misfits, some
from edaformer.families.formats.naming import Format, Naming, Place
from edaformer.families.formats.others import refuse_averages, refuse_encoder
from edaformer.families.formats.shapes import Shapes, read_shapes
from edaformer.families.given import Given, with_training
from edaformer.families.reading.training import model_of, training
from edaformer.families.reading.weights import Weights, read_weights
from edaformer.files import sha256
from edaformer.printable import in_one_line

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.architecture import Architecture
    from edaformer.families.network import Network

Make = Callable[..., "Network"]


@dataclass(frozen=True)
class Decided:
    """The sizes, where the rest of them came from, and the options that say the same again."""

    sizes: Architecture
    assumed: tuple[tuple[str, str], ...]
    options: tuple[str, ...]


@dataclass(frozen=True)
class Reader:
    """What a family brings to the reading of its files."""

    model: str  # SegFormer
    formats: tuple[Format, ...]  # the first one that knows a file's names, its anchor as well
    refuse: Callable[[Path, Collection[str]], None]  # what looks like it and is something else
    # completes what shapes say, by the ``model`` of the configuration in the file's meta, or empty
    decide: Callable[[Path, Format, Shapes, Mapping[str, Any], Given], Decided]
    network: Make

    @property
    def anchors(self) -> tuple[str, ...]:
        """Weights of every file: what stands before them is a wrapper's."""
        return tuple(form.anchor for form in self.formats)


@dataclass(frozen=True)
class Fitted:
    """Weights that fit a network."""

    form: Format
    decided: Decided
    num_classes: int
    places: Mapping[str, Place]  # of every weight that is used, by its name in the file
    left_over: tuple[str, ...]


def load_file(path: Path, given: Given, reader: Reader) -> Checkpoint:
    """Read and check a file.

    Raises:
        CheckpointError: if it is no complete, sound network of the reader's for segmentation.
        InputError: if it does not say how many heads it has.
        MissingError: without torch (or safetensors, where it is one).
    """
    return loaded(path, read_weights(path, reader.anchors), given, reader, sha256(path))


def loaded(path: Path, read: Weights, given: Given, reader: Reader, digest: str) -> Checkpoint:
    """The checkpoint that weights are, of a file or a folder."""
    fitted = fit(path, read, given, reader)
    state: dict[str, Tensor] = {}
    for key, place in fitted.places.items():
        if key in read.tensors:
            state |= place.split(read.tensors[key])
    checkpoint = Checkpoint(
        path=path,
        sha256=digest,
        variant=fitted.decided.sizes,
        num_classes=fitted.num_classes,
        network=reader.network,
        coverage=Coverage(used=len(read.tensors) - len(fitted.left_over),
                          left_over=(*fitted.left_over, *read.left_over)),
        format=fitted.form.title,
        assumed=fitted.decided.assumed,
        options=fitted.decided.options,
        state={k: v.float() if v.is_floating_point() else v for k, v in state.items()},
    )  # fmt: skip
    made = with_training(checkpoint, training(read.meta, fitted.num_classes))
    origins = made.origins
    if origins.normalisation == Origins.normalisation:
        origins = replace(origins, normalisation="assumed, ImageNet's: the file says none")
    return replace(made, notes=(*made.notes, *class_notes(fitted.num_classes)), origins=origins)


def fit(path: Path, read: Weights, given: Given, reader: Reader) -> Fitted:
    """Find out what the weights are, and check all of them."""
    keys = read.tensors.keys()
    form = _format(path, keys, reader)
    left_over = {key for key in keys if form.unused.fullmatch(key)}
    used = {key: value for key, value in read.tensors.items() if key not in left_over}
    naming = Naming(form, used)
    shapes = read_shapes(path, form, naming, used)
    decided = reader.decide(path, form, shapes, model_of(read.meta), given)
    expected = _expected(decided.sizes, shapes.num_classes, reader.network)
    places = naming.places(expected)
    what = f"a network of {form.title} with {shapes.num_classes} classes"
    _check(path, what, {key: place.shape(expected) for key, place in places.items()}, used)
    return Fitted(form, decided, shapes.num_classes, places, tuple(sorted(left_over)))


def _format(path: Path, keys: Collection[str], reader: Reader) -> Format:
    reader.refuse(path, keys)
    refuse_averages(path, keys)
    known = [form for form in reader.formats if form.known_by(keys)]
    form = next((form for form in known if form.anchor in keys), known[0] if known else None)
    refuse_encoder(path, form, keys)
    if form is None:
        raise CheckpointError(
            f"{path} is no {reader.model} of {', '.join(f.title for f in reader.formats)}: its "
            f"{len(keys)} weights are {some(keys)}; name a checkpoint trained for segmentation"
        )
    return form


def _expected(sizes: Architecture, num_classes: int, network: Make) -> dict[str, Tensor]:
    """Our weights' shapes by their names."""
    import torch

    with torch.device("meta"):
        return network(sizes, num_classes, sizes.places.base).state_dict()


def _check(
    path: Path, what: str, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor]
) -> None:
    """Refuse whatever would not load strictly, or would load and compute nonsense."""
    import torch

    optional = {key for key in shapes if key.endswith("num_batches_tracked")}
    problems = {
        "missing": shapes.keys() - tensors.keys() - optional,
        "unknown": [in_one_line(key) for key in tensors.keys() - shapes.keys()],
        "wrongly shaped": [
            f"{key} {tuple(tensors[key].shape)} instead of {shape}"
            for key, shape in shapes.items()
            if key in tensors and tuple(tensors[key].shape) != shape
        ],
        "not finite": [key for key, value in tensors.items() if not torch.isfinite(value).all()],
    }
    if found := misfits({what: sorted(keys) for what, keys in problems.items()}):
        raise CheckpointError(
            f"{path} does not fit {what}: {found}; use a complete checkpoint of it"
        )


def class_notes(num_classes: int) -> tuple[str, ...]:
    """What to say of a network of one class."""
    if num_classes > 1:
        return ()
    return (
        "a threshold: the network has one class, whose score is compared with one in training's "
        "project, and here every label is 0; --outputs logits gives the score",
    )

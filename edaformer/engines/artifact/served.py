"""A model on a Triton server, by its address, as an artifact is by its path.

    triton://localhost:8000/street          over HTTP
    triton+grpc://localhost:8001/street     over gRPC; either with /VERSION behind it

It is one of ``edaformer-build --target triton --runtime edaformer``: it takes a frame of any size
and gives its labels, and its configuration holds the manifest. Commands take paths, and a path has
one slash where an address has two, so either is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaformer.border import words
from edaformer.errors import EdaformerError, InputError, ServerError, require
from edaformer.manifest import Manifest, OutputSpec, parse_manifest

_ADDRESS = re.compile(
    r"triton(?:\+(http|grpc))?:/{1,2}([^/\s]+:\d+)/([A-Za-z0-9][A-Za-z0-9_.-]*)(?:/(\d+))?/?"
)
_BAD_REQUEST = {"400", "StatusCode.INVALID_ARGUMENT"}
_NOT_THERE = {"404", "StatusCode.NOT_FOUND"}


@dataclass(frozen=True)
class Address:
    """Where a model is served."""

    way: str  # http or grpc
    host: str  # HOST:PORT
    model: str
    version: str  # empty: the server's choice

    def __str__(self) -> str:
        scheme = "triton" if self.way == "http" else "triton+grpc"
        return f"{scheme}://{self.host}/{self.model}" + (f"/{self.version}" if self.version else "")


def is_address(path: Path) -> bool:
    """Whether this names a served model, and no file."""
    return re.match(r"triton(\+\w*)?:/", str(path)) is not None


def parse_address(path: Path) -> Address:
    """The address.

    Raises:
        InputError: if it is none.
    """
    found = _ADDRESS.fullmatch(str(path))
    if found is None:
        raise InputError(
            "expected a served model as triton://HOST:PORT/MODEL or triton+grpc://HOST:PORT/MODEL, "
            f"got '{path}'"
        )
    return Address(found[1] or "http", found[2], found[3], found[4] or "")


class ServedModel:
    """A served model; every thread that asks it has a connection of its own."""

    def __init__(self, path: Path) -> None:
        """Connect, and read the manifest.

        Raises:
            InputError: if there is no such model, or it is not one that takes frames.
            MissingError: without tritonclient.
            ServerError: if no server answers.
        """
        self.address = parse_address(path)
        self._client = require(f"tritonclient.{self.address.way}", "triton")
        self._mine, self._all = local(), list[Any]()
        try:
            with self._answering():
                config = self._config()
            self.manifest = _manifest(config, self.address)
        except EdaformerError:
            self.close()
            raise
        self.description = f"served at {self.address}"

    def labels(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels (N, H, W) of frames (N, H, W, 3), each asked alone.

        Raises:
            InputError: if the server refuses a frame.
            ServerError: if it is gone, or fails.
        """
        return np.stack([self._ask(frame) for frame in frames])

    def close(self) -> None:
        """End the connections."""
        while self._all:
            self._all.pop().close()

    def _ask(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        sent = np.ascontiguousarray(frame[None])
        with self._answering():
            image = self._client.InferInput("image", sent.shape, "UINT8")
            image.set_data_from_numpy(sent)
            made = self._connection().infer(
                self.address.model, [image], model_version=self.address.version,
                outputs=[self._client.InferRequestedOutput("labels")],
            )  # fmt: skip
            labels: NDArray[np.uint8] | None = made.as_numpy("labels")
        if labels is None or labels.shape != sent.shape[:3] or labels.dtype != np.uint8:
            raise ServerError(f"{self.address} answers with what are no labels of the frame")
        return np.array(labels[0])

    def _connection(self) -> Any:
        """This thread's own: what waits in the HTTP client, gevent's hub, is a thread's."""
        if not hasattr(self._mine, "connection"):
            self._mine.connection = self._client.InferenceServerClient(self.address.host)
            self._all.append(self._mine.connection)
        return self._mine.connection

    def _config(self) -> dict[str, Any]:
        options = {"as_json": True} if self.address.way == "grpc" else {}
        found: dict[str, Any] = self._connection().get_model_config(
            self.address.model, self.address.version, **options
        )
        return dict(found.get("config", found))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Whatever the client raises, as one sentence: gevent's, gRPC's and the server's own."""
        try:
            yield
        except EdaformerError:
            raise
        except Exception as error:
            raise _explained(self.address, error) from error


def served_manifest(path: Path) -> Manifest:
    """The manifest of a served model; of its outputs the labels alone.

    Raises:
        EdaformerError: as connecting does.
    """
    model = ServedModel(path)
    model.close()
    return model.manifest


def _manifest(config: dict[str, Any], address: Address) -> Manifest:
    parameters = config.get("parameters", {})
    own = {key: parameters.get(f"edaformer.{key}", {}) for key in ("artifact", "manifest")}
    text = own["manifest"].get("string_value") or own["manifest"].get("stringValue")
    if text is None or not own["artifact"]:
        raise InputError(
            f"{address} is no model that takes frames of any size; hand it over with "
            "edaformer-build MODEL --target triton --runtime edaformer"
        )
    manifest = parse_manifest(text, str(address))
    labels = OutputSpec(
        name="labels", layout="NHW", dtype="uint8", height=manifest.size[0], width=manifest.size[1]
    )
    return manifest.model_copy(update={"outputs": (labels,)})


def _explained(address: Address, error: Exception) -> EdaformerError:
    status = getattr(error, "status", None)
    code = str(status()) if callable(status) else ""
    said = words(error).removeprefix(f"[{code}] ")
    if code in _BAD_REQUEST | _NOT_THERE:
        return InputError(f"{address} refuses: {said}")
    if code and "failed to connect" not in said.lower() and "unavailable" not in code.lower():
        return ServerError(f"{address} fails: {said}")
    return ServerError(f"{address} does not answer ({said}); see whether the server runs")

"""The model class that Triton's Python backend makes one of for each instance.

A model folder's ``model.py`` imports it from here, so that what runs is the installed package. The
backend's side of the contract is docs/serving.md's and, at its source,
https://github.com/triton-inference-server/python_backend. ``triton_python_backend_utils`` exists in
the backend's own process only.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from edaformer.border import border, words
from edaformer.engines.served.arrays import array_of, tensor_of
from edaformer.engines.served.service import Frame, Service
from edaformer.errors import DeviceError, EdaformerError, FrameError, InputError, MissingError
from edaformer.pictures import decode_picture

_log = logging.getLogger(__name__)


class TritonPythonModel:
    """One instance; Triton calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the artifact of this version; its name is the configuration's."""
        import triton_python_backend_utils as pb_utils

        parameters = json.loads(args["model_config"])["parameters"]
        name = parameters["edaformer.artifact"]["string_value"]
        folder = Path(args["model_repository"]) / args["model_version"]
        try:
            self._service = Service(folder / name)
        except EdaformerError as error:
            raise pb_utils.TritonModelException(str(error)) from error

    def execute(self, requests: list[Any]) -> list[Any]:
        """A response for each request, in their order: what one does wrong is its own."""
        return [self._respond(request) for request in requests]

    def finalize(self) -> None:
        """The model is unloaded, or the server ends."""
        self._service.close()

    def _respond(self, request: Any) -> Any:
        import triton_python_backend_utils as pb_utils

        if request.is_cancelled():
            gone = pb_utils.TritonError("the client is gone", pb_utils.TritonError.CANCELLED)
            return pb_utils.InferenceResponse(error=gone)
        try:
            with border(lambda said: DeviceError(f"the server failed on this request: {said}")):
                made = self._service.answer(frames_of(request), request.requested_output_names())
        except EdaformerError as error:
            if not isinstance(error, InputError):
                _log.error("%s", error)
            told = pb_utils.TritonError(str(error), _status(pb_utils.TritonError, error))
            return pb_utils.InferenceResponse(error=told)
        tensors = [tensor_of(name, value) for name, value in made.items()]
        return pb_utils.InferenceResponse(tensors)


def frames_of(request: Any) -> list[Frame]:
    """The frames that a request sends, as ``image`` or ``encoded``.

    Raises:
        InputError: if it sends neither or both, or what is no picture.
    """
    sent = {tensor.name(): tensor for tensor in request.inputs()}
    if len(sent) != 1:
        raise InputError(
            f"expected either image or encoded, got {' and '.join(sorted(sent)) or 'neither'}; "
            "send one of them"
        )
    if "image" in sent:
        return list(array_of(sent["image"]))
    return [_decoded(row.tobytes()) for row in array_of(sent["encoded"])]


def _decoded(data: bytes) -> Frame:
    try:
        return decode_picture(data).pixels
    except FrameError as error:
        raise FrameError(f"encoded cannot be taken: {words(error)}") from error


def _status(codes: Any, error: EdaformerError) -> Any:
    """Triton's own: whose fault it is, and whether to come again."""
    if isinstance(error, InputError):
        return codes.INVALID_ARG
    return codes.UNAVAILABLE if isinstance(error, (DeviceError, MissingError)) else codes.INTERNAL

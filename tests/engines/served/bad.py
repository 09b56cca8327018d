"""Bad requests by number: wrong shapes, types and sizes, hostile pictures, broken HTTP."""

from __future__ import annotations

import http.client
import io
import json
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MODEL = "street"
Dice = np.random.Generator
Sent = tuple[str, NDArray[Any], str]  # an input's name, value and Triton type
REFUSALS = {"400", "StatusCode.INVALID_ARGUMENT"}
_NO_JSON = ('{"error":"Unable to parse', '{"error":"failed to parse')  # Triton's own, with 500
_SIDE = 60000


@dataclass
class Refused:
    """What came back."""

    refused: int = 0  # in words, with Triton's status for a client's mistake
    labels: int = 0  # damage that a decoder does not notice: the frame has labels
    others: Counter[str] = field(default_factory=Counter)  # what should not come

    def to_json(self) -> dict[str, object]:
        """For a record."""
        return {"refused": self.refused, "labels": self.labels, "others": dict(self.others)}


def ask(http_address: str, grpc_address: str, numbers: range) -> Refused:
    """Send the requests of these numbers, over HTTP and gRPC in turns."""
    import tritonclient.grpc
    import tritonclient.http

    told = Refused()
    with (
        tritonclient.http.InferenceServerClient(http_address) as over_http,
        tritonclient.grpc.InferenceServerClient(grpc_address) as over_grpc,
    ):
        ways = ((tritonclient.http, over_http), (tritonclient.grpc, over_grpc))
        for number in numbers:
            dice = np.random.default_rng(number)
            if number % 4 == 3:
                _raw(http_address, number, dice, told)
            else:
                _through_client(*ways[number // 4 % 2], number, dice, told)
    return told


def _through_client(module: Any, client: Any, number: int, dice: Dice, told: Refused) -> None:
    from tritonclient.utils import InferenceServerException

    maker = TENSORS[number // 8 % len(TENSORS)]
    name, value, kind = maker(dice)
    sent = module.InferInput(name, value.shape, kind)
    sent.set_data_from_numpy(value)
    outputs = [module.InferRequestedOutput("labels")]
    try:
        client.infer(MODEL, [sent], outputs=outputs, **_patience(module))
    except InferenceServerException as error:
        _judge(maker.__name__, str(error.status()), error.message() or "", told)
    else:
        if maker is damaged:
            told.labels += 1
        else:
            told.others[f"{maker.__name__}: labels"] += 1


def _patience(module: Any) -> dict[str, float]:
    """HTTP's is 60 seconds by itself."""
    return {"client_timeout": 60.0} if module.__name__.endswith("grpc") else {}


def _raw(address: str, number: int, dice: Dice, told: Refused) -> None:
    maker = BODIES[number // 4 % len(BODIES)]
    body, headers = maker(dice)
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", f"/v2/models/{MODEL}/infer", body, headers)
        reply = connection.getresponse()
        words = reply.read().decode(errors="replace")
        _judge(maker.__name__, str(reply.status), words, told)
    finally:
        connection.close()


def _judge(what: str, status: str, words: str, told: Refused) -> None:
    refused = status in REFUSALS or (status == "500" and words.startswith(_NO_JSON))
    if refused and len(words) > 10 and "Traceback" not in words:
        told.refused += 1
    else:
        told.others[f"{what}: {status} {words[:160]}"] += 1


def _picture(dice: Dice, kind: str) -> bytes:
    file = io.BytesIO()
    size = (*dice.integers(8, 200, 2), 3)
    Image.fromarray(dice.integers(0, 256, size, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def _encoded(data: bytes) -> Sent:
    return "encoded", np.frombuffer(data, np.uint8)[None], "UINT8"


def channels(dice: Dice) -> Sent:
    """One, two, four or more."""
    count = int(dice.choice([1, 2, 4, 5, 64]))
    return "image", np.zeros((1, 60, 90, count), np.uint8), "UINT8"


def dimensions(dice: Dice) -> Sent:
    """A frame without its batch, or with more around it."""
    shape = [(60, 90, 3), (90, 3), (3,), (1, 1, 60, 90, 3)][dice.integers(4)]
    return "image", np.zeros(shape, np.uint8), "UINT8"


def no_pixels(dice: Dice) -> Sent:
    """No rows, no columns, or no frame."""
    shape = [(1, 0, 90, 3), (1, 60, 0, 3), (0, 60, 90, 3), (1, 0, 0, 3)][dice.integers(4)]
    return "image", np.zeros(shape, np.uint8), "UINT8"


def too_many(dice: Dice) -> Sent:
    """More frames than a request has."""
    return "image", np.zeros((int(dice.integers(9, 60)), 8, 8, 3), np.uint8), "UINT8"


def another_type(dice: Dice) -> Sent:
    """What is no uint8."""
    name, kind = [("f4", "FP32"), ("i4", "INT32"), ("i8", "INT64"), ("?", "BOOL"), ("i1", "INT8"),
                  ("f2", "FP16")][dice.integers(6)]  # fmt: skip
    return "image", np.zeros((1, 60, 90, 3), name), kind


def another_name(dice: Dice) -> Sent:
    """An input that there is not."""
    name = ["frame", "images", "Image", "x" * 3000, "../image", "é"][dice.integers(6)]
    return name, np.zeros((1, 60, 90, 3), np.uint8), "UINT8"


def text(dice: Dice) -> Sent:
    """A tensor of strings."""
    rows = [dice.bytes(int(dice.integers(1, 90)))]
    return "encoded", np.array([rows], object), "BYTES"


def nothing(dice: Dice) -> Sent:
    """A file without bytes, or of zeros."""
    return _encoded(bytes(int(dice.integers(0, 3)) * 700))


def noise(dice: Dice) -> Sent:
    """Bytes at random, sometimes behind a picture's first ones."""
    head = [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"][dice.integers(3)]
    return _encoded(head + dice.bytes(int(dice.integers(1, 5000))))


def cut(dice: Dice) -> Sent:
    """A picture that ends before its end."""
    data = _picture(dice, ["JPEG", "PNG"][dice.integers(2)])
    return _encoded(data[: int(dice.integers(2, len(data) * 3 // 4))])


def another_format(dice: Dice) -> Sent:
    """A picture, but no JPEG and no PNG."""
    return _encoded(_picture(dice, ["GIF", "BMP", "WEBP", "TIFF", "PPM", "ICO"][dice.integers(6)]))


def huge_png(dice: Dice) -> Sent:
    """A header of 60000x60000 pixels, with or without data behind it."""
    header = b"IHDR" + struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = zlib.compress(bytes(int(dice.integers(1, 100_000))))
    behind = struct.pack(">I", len(data)) + b"IDAT" + data
    behind += struct.pack(">I", zlib.crc32(behind[4:]))
    return _encoded(b"\x89PNG\r\n\x1a\n" + chunk + behind[: int(dice.integers(len(behind)))])


def huge_jpeg(dice: Dice) -> Sent:
    """The same in a JPEG's frame header."""
    data = bytearray(_picture(dice, "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", _SIDE, _SIDE)
    return _encoded(bytes(data))


def damaged(dice: Dice) -> Sent:
    """A JPEG with bytes changed; a decoder may not notice."""
    data = bytearray(_picture(dice, "JPEG"))
    for place in dice.integers(2, len(data), int(dice.integers(1, 30))):
        data[place] = int(dice.integers(256))
    return _encoded(bytes(data))


TENSORS: tuple[Callable[[Dice], Sent], ...] = (
    channels, dimensions, no_pixels, too_many, another_type, another_name, text, nothing, noise,
    cut, another_format, huge_png, huge_jpeg, damaged,
)  # fmt: skip

Body = tuple[bytes, dict[str, str]]


def request(shape: object, size: object, data: bytes, **other: object) -> Body:
    """Triton's binary extension: JSON, and a tensor's bytes behind it."""
    one = {"name": "image", "shape": shape, "datatype": "UINT8",
           "parameters": {"binary_data_size": size}, **other}  # fmt: skip
    head = json.dumps({"inputs": [one], "outputs": [{"name": "labels"}]}).encode()
    return head + data, {"Inference-Header-Content-Length": str(len(head))}


def fewer_bytes(dice: Dice) -> Body:
    """Than the shape has."""
    data = bytes(int(dice.integers(0, 60 * 90 * 3)))
    return request([1, 60, 90, 3], len(data), data)


def more_bytes(dice: Dice) -> Body:
    """Than the shape has."""
    data = bytes(60 * 90 * 3 + int(dice.integers(1, 5000)))
    return request([1, 60, 90, 3], len(data), data)


def claimed_bytes(dice: Dice) -> Body:
    """More, or fewer than none."""
    claimed = [1 << 40, -1, (1 << 63) - 1, "9", None][dice.integers(5)]
    return request([1, 60, 90, 3], claimed, bytes(60 * 90 * 3))


def claimed_shape(dice: Dice) -> Body:
    """Shapes that nobody sends, some beyond 64 bits."""
    shape = [[1, _SIDE, _SIDE, 3], [1, -1, 90, 3], [-1, -60, 90, -3], [1, 1 << 33, 1 << 33, 3],
             [1, 60.5, 90, 3], "60x90", [[1], 60, 90, 3], []][dice.integers(8)]  # fmt: skip
    return request(shape, 16200, bytes(16200))


def header_length(dice: Dice) -> Body:
    """Where the JSON does not end."""
    body, _ = request([1, 60, 90, 3], 16200, bytes(16200))
    said = ["0", "1", "99999999", "-5", "x", "18446744073709551617"][dice.integers(6)]
    return body, {"Inference-Header-Content-Length": said}


def no_json(dice: Dice) -> Body:
    """Nothing, noise, JSON that is cut, of another kind, or nested."""
    body, _ = request([1, 60, 90, 3], 0, b"")
    bodies = [b"", dice.bytes(300), body[: int(dice.integers(1, len(body) - 1))], b"[]", b"null",
              b"{}", b'{"inputs": 3}', b'{"inputs": []}', b"[" * 90]  # fmt: skip
    return bodies[dice.integers(len(bodies))], {}


def written_out(dice: Dice) -> Body:
    """Numbers as JSON: too few, too large, or none."""
    value = [[1, 2, 3], [[300] * 90] * 60, ["a"] * 9, {"a": 1}, None][dice.integers(5)]
    one = {"name": "image", "shape": [1, 60, 90, 3], "datatype": "UINT8", "data": value}
    return json.dumps({"inputs": [one]}).encode(), {}


BODIES: tuple[Callable[[Dice], Body], ...] = (
    fewer_bytes, more_bytes, claimed_bytes, claimed_shape, header_length, no_json, written_out,
)  # fmt: skip

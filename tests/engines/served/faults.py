"""What goes wrong with a server at work, each as often as asked, with other clients on it.

    python -m tests.engines.served     # the long form; the short one is test_faults.py

A scenario returns what was seen, for a record, and asserts what must hold: no wrong labels, no
request without an answer, and the others unharmed. It leaves the server as it found it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import statistics
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.artifact.served import ServedModel
from edaformer.engines.handover import hand_over_runtime
from edaformer.errors import EdaformerError
from tests.engines.served import bad
from tests.engines.served.load import Known, Load, Told
from tools.tritonserver import TritonServer

MODEL = bad.MODEL
OPTIONS = ("--model-control-mode=explicit", f"--load-model={MODEL}")
PATIENCE = 180.0  # seconds in which a server must answer again
Record = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """A server with a model that is right, and what that answers."""

    server: TritonServer
    repository: Path
    known: Known  # of the artifact, and of the one that replaces it

    @property
    def addresses(self) -> list[str]:
        """One over HTTP, one over gRPC."""
        return [f"triton://{self.server.http}/{MODEL}", f"triton+grpc://{self.server.grpc}/{MODEL}"]


def harmless(told: Told) -> Record:
    """Nobody noticed."""
    assert not told.errors, told.to_json()
    return unhurt(told)


def unhurt(told: Told) -> Record:
    """Whoever was answered was answered rightly, and nobody is without an answer."""
    assert told.wrong == 0, told.to_json()
    assert told.unanswered == 0, told.to_json()
    return told.to_json()


def bad_requests(served: Served, numbers: range) -> Record:
    """Wrong shapes, types and sizes, hostile pictures, broken HTTP: each is refused in words."""
    stubs = served.server.stubs()
    with Load(served.addresses, served.known, pause=0.05) as load:
        load.wait(2)
        told = bad.ask(served.server.http, served.server.grpc, numbers)
        load.wait(2)
    assert not told.others, told.to_json()
    assert told.refused + told.labels == len(numbers)
    assert served.server.stubs() == stubs
    return {"requests": len(numbers), **told.to_json(), "beside": harmless(load.told)}


def clients_that_leave(served: Served, count: int) -> Record:
    """In the middle of a body, after it, and by cancelling over gRPC."""
    with Load(served.addresses, served.known, pause=0.05) as load:
        load.wait(2)
        for number in range(count):
            (_leave_http if number % 2 else _cancel_grpc)(served.server, number)
        load.wait(4)
    return {"left": count, "beside": harmless(load.told)}


def _leave_http(server: TritonServer, number: int) -> None:
    body, headers = bad.request([1, 300, 300, 3], 270_000, bytes(270_000))
    (length,) = headers.values()
    head = (
        f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: {server.http}\r\n"
        f"Inference-Header-Content-Length: {length}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as line:
        if number % 4 == 1:  # by a reset, not by an end
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        share = (0.3, 0.9, 1.0)[number // 2 % 3]
        line.sendall(head.encode() + body[: int(len(body) * share)])


def _cancel_grpc(server: TritonServer, number: int) -> None:
    import tritonclient.grpc as triton

    gone = threading.Event()
    with triton.InferenceServerClient(server.grpc) as client:
        image = triton.InferInput("image", (1, 300, 300, 3), "UINT8")
        image.set_data_from_numpy(np.zeros((1, 300, 300, 3), np.uint8))
        outputs = [triton.InferRequestedOutput("labels")]
        call = client.async_infer(
            MODEL, [image], lambda result, error: gone.set(), outputs=outputs, client_timeout=60.0
        )
        time.sleep(0.002 * (number % 7))
        call.cancel()
        assert gone.wait(PATIENCE), "a cancelled request has no end"


def overload(served: Served, requests: int) -> Record:
    """More at once than may wait: each is answered, the rest with UNAVAILABLE."""
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    ends, lock, done = Counter[str](), threading.Lock(), threading.Semaphore(0)

    def end(result: Any, error: InferenceServerException | None) -> None:
        with lock:
            ends["labels" if error is None else f"{error.status()}: {error.message()}"] += 1
        done.release()

    frame, outputs = served.known.frames[0][None], [triton.InferRequestedOutput("labels")]
    with triton.InferenceServerClient(served.server.grpc) as client:
        for _ in range(requests):
            image = triton.InferInput("image", frame.shape, "UINT8")
            image.set_data_from_numpy(frame)
            client.async_infer(MODEL, [image], end, outputs=outputs, client_timeout=PATIENCE)
        for _ in range(requests):
            assert done.acquire(timeout=PATIENCE), f"unanswered: {requests - sum(ends.values())}"
    refused = {words: count for words, count in ends.items() if words != "labels"}
    assert ends["labels"] > 0
    assert all("UNAVAILABLE" in words and "queue" in words for words in refused), refused
    ask_until_right(served)
    return {"requests": requests, "labels": ends["labels"], "refused": refused}


def order_of_a_stream(served: Served, count: int) -> Record:
    """Two gRPC streams of frames of unequal sizes: each one's answers come in its order."""
    import tritonclient.grpc as triton

    known = served.known
    orders: list[list[int]] = [[], []]
    done = threading.Semaphore(0)
    may_send = [threading.Semaphore(24), threading.Semaphore(24)]  # both fit into the queue

    def hear(stream: int, result: Any, error: Exception | None) -> None:
        if error is None:
            number = int(result.get_response().id)
            right = known.which(number % len(known.frames), result.as_numpy("labels")[0])
            orders[stream].append(number if right is not None else -1)
        else:
            orders[stream].append(-2)
        may_send[stream].release()
        done.release()

    def send(stream: int) -> None:
        outputs = [triton.InferRequestedOutput("labels")]
        with triton.InferenceServerClient(served.server.grpc) as client:
            client.start_stream(lambda result, error: hear(stream, result, error))
            for number in range(count):
                assert may_send[stream].acquire(timeout=PATIENCE), "no answers"
                frame = known.frames[number % len(known.frames)][None]
                image = triton.InferInput("image", frame.shape, "UINT8")
                image.set_data_from_numpy(frame)
                client.async_stream_infer(MODEL, [image], outputs=outputs, request_id=str(number))
            client.stop_stream()  # once all are answered

    senders = [threading.Thread(target=send, args=(one,), daemon=True) for one in range(2)]
    for sender in senders:
        sender.start()
    for _ in range(2 * count):
        assert done.acquire(timeout=PATIENCE), orders
    for sender in senders:
        sender.join(PATIENCE)
    assert orders == [list(range(count))] * 2, orders
    return {"streams": 2, "frames": 2 * count}


def stub_kills(served: Served, count: int) -> Record:
    """kill -9 under load: who asks is told; unloaded and loaded, the model answers as before."""
    seconds = []
    with Load(served.addresses, served.known, pause=0.02) as load:
        for _ in range(count):
            load.wait(4)
            for stub in served.server.stubs():
                os.kill(stub, signal.SIGKILL)
            load.wait_for_error()
            start = time.perf_counter()
            served.server.load_again(MODEL)
            ask_until_right(served)
            seconds.append(time.perf_counter() - start)
        load.wait(4)
    assert len(served.server.stubs()) == 1
    return {"kills": count, **_spread(seconds), "beside": unhurt(load.told)}


def server_kills(served: Served, count: int) -> Record:
    """kill -9 under load, started again on the same ports."""
    seconds = []
    with Load(served.addresses, served.known, pause=0.02) as load:
        for _ in range(count):
            load.wait(4)
            served.server.kill()
            load.wait_for_error()
            start = time.perf_counter()
            served.server.restart()
            ask_until_right(served)
            seconds.append(time.perf_counter() - start)
        load.wait(4)
    return {"kills": count, **_spread(seconds), "beside": unhurt(load.told)}


def _spread(seconds: list[float]) -> Record:
    """Until it serves again."""
    return {
        "seconds": [round(one, 2) for one in sorted(seconds)],
        "median": round(statistics.median(seconds), 2),
    }


def ask_until_right(served: Served) -> None:
    """Until the labels are the model's again; what is told meanwhile is no wrong label."""
    end = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < end, "the model does not answer again"
        with suppress(EdaformerError):
            model = ServedModel(Path(served.addresses[0]))
            try:
                labels = model.labels(served.known.frames[0][None])[0]
            finally:
                model.close()
            assert served.known.which(0, labels) is not None
            return
        time.sleep(0.05)


def exchanges(served: Served, newer: Path, count: int) -> Record:
    """Version 2 beside 1 and away again, under load: no request fails, and 2 is what answers."""
    folder, staging = served.repository / MODEL, served.repository.parent / "staging"
    hand_over_runtime(newer, staging / MODEL)
    with Load(served.addresses, served.known) as load:
        for _ in range(count):
            load.wait(4)
            shutil.copytree(staging / MODEL / "1", folder / "new")
            (folder / "new").rename(folder / "2")
            served.server.load(MODEL)
            _until_answered_by(load, 1)
            (folder / "2").rename(staging / "2")
            served.server.load(MODEL)
            _until_answered_by(load, 0)
            shutil.rmtree(staging / "2")
    shutil.rmtree(staging)
    told = harmless(load.told)
    return {"exchanges": 2 * count, "by": dict(load.told.right), "beside": told}


def _until_answered_by(load: Load, artifact: int) -> None:
    """Eight answers in a row, which no other version's interrupts, by the load's own clients."""
    end = time.monotonic() + PATIENCE
    while True:
        other = load.told.right[1 - artifact]
        load.wait(8)
        if load.told.right[1 - artifact] == other:
            return
        assert time.monotonic() < end, "the other version goes on answering"


def corrupt_model_beside(served: Served) -> Record:
    """A model that does not load is said to be so in words; the good one goes on."""
    broken = served.repository / "broken"
    shutil.copytree(served.repository / MODEL, broken)
    config = broken / "config.pbtxt"
    config.write_text(config.read_text().replace(f'name: "{MODEL}"', 'name: "broken"'))
    file = broken / "1/model.onnx"
    file.write_bytes(file.read_bytes()[:5000])
    with Load(served.addresses, served.known, pause=0.02) as load:
        load.wait(2)
        words = ""
        try:
            served.server.load("broken")
        except RuntimeError as error:
            words = str(error)
        load.wait(4)
    shutil.rmtree(broken)
    assert "'broken'" in words, words
    assert "it is damaged" in words, words
    assert not served.server.answers("v2/models/broken/ready")
    return {"words": words, "beside": harmless(load.told)}


def killed_under_a_run(served: Served, folder: Path) -> Record:
    """edaformer-run says that the server is gone, exit code 1; what it wrote is whole."""
    pictures, out = folder / "pictures", folder / "out"
    pictures.mkdir(parents=True)
    for number in range(400):
        frame = served.known.frames[number % len(served.known.frames)]
        Image.fromarray(frame).save(pictures / f"{number:03}.png")

    def kill_at_work() -> None:
        end = time.monotonic() + PATIENCE
        while len(list(out.rglob("*.png"))) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        served.server.kill()

    killer = threading.Thread(target=kill_at_work, daemon=True)
    killer.start()
    words = ("run", served.addresses[0], str(pictures), "-o", str(out), "--save", "ids")
    ran = CliRunner().invoke(app, words)
    killer.join(PATIENCE)
    served.server.restart()
    ask_until_right(served)
    assert ran.exit_code == 1, ran.stderr
    assert "does not answer" in ran.stderr
    written = sorted(out.rglob("*"))
    files = [path for path in written if path.is_file()]
    for path in files:
        with Image.open(path) as picture:
            picture.load()
    assert 3 <= len(files) < 400
    return {"written": len(files), "said": ran.stderr.strip().splitlines()[-1]}

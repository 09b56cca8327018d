"""docs/serving.md's tables: a real tritonserver under load, on this machine's CPU.

    python benchmarks/serving.py street.onnx --name demo --rate 4      # overhead and loops
    python benchmarks/serving.py small.onnx --name small --soak 600    # and 16 clients, 10 minutes
    python benchmarks/serving.py --page docs/serving.md                # writes the tables

Overhead: the same frame through the artifact's labeller in this process, and through the server
over HTTP and gRPC, in turns; what counts is the difference of the medians. Closed loop: each client
asks again once it is answered. Open loop: requests leave at a fixed rate, answered or not, and a
latency counts from when its request should have left. Every answer's labels are compared with the
direct ones. A case is a line of the record; what is measured again replaces what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = (360, 480)
CLIENTS = (1, 4, 16)
MARKS = (50, 90, 99)
KINDS = {"median": "median", "least": "least", "cpu": "CPU time"}
RECORDS = Path(__file__).parent / "records" / "serving.jsonl"
MODEL = "street"
Frame = NDArray[np.uint8]
Ask = Callable[[], Frame]


@dataclass
class Answers:
    """What clients got, each adding to it from its thread."""

    right: Frame  # the labels that are expected
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, labels: Frame | None, seconds: float) -> None:
        """An answer's labels."""
        same = labels is not None and np.array_equal(labels, self.right)
        with self.lock:
            self.seconds.append(seconds)
            self.wrong += not same

    def fail(self, error: Exception) -> None:
        """An error instead."""
        with self.lock:
            self.errors[str(error)[:160]] += 1

    def to_json(self, seconds: float) -> dict[str, Any]:
        """Latencies in ms, and frames a second."""
        times = np.percentile(self.seconds or [0.0], MARKS) * 1e3
        marks = zip(MARKS, times, strict=True)
        return {
            **{f"p{mark}": round(float(one), 2) for mark, one in marks},
            "frames": len(self.seconds), "rate": round(len(self.seconds) / seconds, 2),
            "wrong": self.wrong, "errors": sum(self.errors.values()), "words": dict(self.errors),
        }  # fmt: skip


def main() -> None:
    """Measure a case, or write the page's tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", nargs="?", type=Path)
    parser.add_argument("--name", help="the case's")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each loop")
    parser.add_argument("--turns", type=int, default=100, help="frames each way, for the overhead")
    parser.add_argument("--rate", type=float, help="requests a second of the open loop")
    parser.add_argument("--soak", type=float, help="seconds with 16 clients, memory watched")
    parser.add_argument("--only", nargs="*", default=("overhead", "closed"), help="of these two")
    parser.add_argument("--out", type=Path, default=RECORDS, help="JSON lines")
    parser.add_argument("--page", type=Path, help="write the tables between this page's markers")
    asked = parser.parse_args()
    if asked.page is not None:
        from rewrites import write_page

        write_page(asked.page, tables(read(asked.out)))
        return
    if asked.artifact is None or asked.name is None:
        parser.error("name an artifact and its case: model.onnx --name demo")
    found = measure(asked)
    done = read(asked.out)
    done[asked.name] = {**done.get(asked.name, {}), **found}
    lines = (json.dumps({"case": name, **case}) for name, case in done.items())
    asked.out.write_text("".join(f"{line}\n" for line in lines))


def read(path: Path) -> dict[str, dict[str, Any]]:
    """What is recorded, by case."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {line.pop("case"): line for line in map(json.loads, lines)}


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Serve the artifact, and ask it."""
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from edaformer.engines.bench.state import Machine
    from edaformer.engines.handover import hand_over_runtime
    from edaformer.engines.run.labeller import open_labeller
    from tools.tritonserver import TritonServer

    labeller, frame = open_labeller(asked.artifact), _frame()
    right = labeller(frame)
    found: dict[str, Any] = {
        "model": _model(labeller.manifest), "frame": f"{SIZE[0]}x{SIZE[1]}",
        "machine": Machine().describe(), "threads": os.environ.get("OMP_NUM_THREADS", "all"),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        hand_over_runtime(asked.artifact, Path(folder) / "repository" / MODEL)
        with TritonServer(Path(folder) / "repository") as server:
            ways = {"http": server.http, "grpc": server.grpc}
            if "overhead" in asked.only:
                direct = lambda: labeller(frame)  # noqa: E731
                processes = [server.process.pid, *server.stubs()]
                found["overhead"] = overhead(direct, ways, frame, asked.turns, processes)
                _say(found["overhead"])
            if "closed" in asked.only:
                found["closed"] = {
                    str(clients): closed(server.http, frame, right, clients, asked.seconds)
                    for clients in CLIENTS
                }
                _say(found["closed"])
            if asked.rate is not None:
                found["open"] = open_loop(server.grpc, frame, right, asked.rate, asked.seconds)
                _say(found["open"])
            if asked.soak is not None:
                processes = [server.process.pid, *server.stubs()]
                found["soak"] = soak(server.http, frame, right, asked.soak, processes)
                _say({**found["soak"], "memory": "..."})
    return found


def _say(found: dict[Any, Any]) -> None:
    print(json.dumps(found), flush=True)


def _model(manifest: Any) -> str:
    height, width = manifest.size
    return f"EDAFormer-{manifest.variant} at {height}x{width}, {manifest.precision}"


def _frame() -> Frame:
    noise = np.random.default_rng(0).integers(0, 64, (*SIZE, 3), dtype=np.uint8)
    made: Frame = noise + np.linspace(0, 190, SIZE[1], dtype=np.uint8)[:, None]
    return made


def asking(way: str, address: str, frame: Frame) -> tuple[Any, Ask]:
    """A client of its own, and what sends the frame and gives its labels."""
    import importlib

    triton = importlib.import_module(f"tritonclient.{way}")
    client = triton.InferenceServerClient(address)

    def ask() -> Frame:
        image = triton.InferInput("image", (1, *frame.shape), "UINT8")
        image.set_data_from_numpy(frame[None])
        outputs = [triton.InferRequestedOutput("labels")]
        labels: Frame = client.infer(MODEL, [image], outputs=outputs).as_numpy("labels")[0]
        return labels

    return client, ask


def overhead(
    direct: Ask, ways: dict[str, str], frame: Frame, turns: int, processes: list[int]
) -> dict[str, Any]:
    """Each way in ms, in turns, and what the server's are more; a tenth before them warms up.

    Each way has the first turn as often as the others: what follows a pause is slower. Beside
    median and least stands the CPU time of all processes, which other work on the machine does not
    make longer, and which counts what goes on side by side twice.
    """
    clients = {way: asking(way, address, frame) for way, address in ways.items()}
    asks = {"direct": direct, **{way: ask for way, (_, ask) in clients.items()}}
    seconds: dict[str, list[float]] = {way: [] for way in asks}
    computed, right = dict.fromkeys(asks, 0.0), direct()
    for turn in range(turns + turns // 10):
        order = list(asks.items())
        first = turn % len(order)
        for way, ask in order[first:] + order[:first]:
            before, start = _cpu(processes), time.perf_counter()
            labels = ask()
            took, cpu = time.perf_counter() - start, _cpu(processes) - before
            if not np.array_equal(labels, right):
                raise SystemExit(f"{way} gives other labels")
            if turn >= turns // 10:
                seconds[way].append(took)
                computed[way] += cpu / turns
    for client, _ in clients.values():
        client.close()
    kinds = {
        "median": {way: statistics.median(times) for way, times in seconds.items()},
        "tenth": {way: float(np.percentile(times, 10)) for way, times in seconds.items()},
        "least": {way: min(times) for way, times in seconds.items()},
        "cpu": computed,
    }
    found = {
        kind: {way: round(one * 1e3, 2) for way, one in of.items()} for kind, of in kinds.items()
    }
    return {"turns": turns, **found}


def _cpu(processes: list[int]) -> float:
    """CPU seconds of this process and these."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def closed(
    address: str, frame: Frame, right: Frame, clients: int, seconds: float
) -> dict[str, Any]:
    """So many clients over HTTP, each in a thread of its own."""
    answers, end = Answers(right), threading.Event()

    def client() -> None:
        connection, ask = asking("http", address, frame)
        while not end.is_set():
            start = time.perf_counter()
            try:
                labels = ask()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is counted
                answers.fail(error)
            else:
                answers.add(labels, time.perf_counter() - start)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    end.set()
    for thread in threads:
        thread.join()
    return answers.to_json(time.perf_counter() - start)


def open_loop(
    address: str, frame: Frame, right: Frame, rate: float, seconds: float
) -> dict[str, Any]:
    """Requests at a rate, over gRPC."""
    import tritonclient.grpc as triton

    answers, left = Answers(right), threading.Semaphore(0)
    count = int(rate * seconds)

    def heard(due: float, result: Any, error: Exception | None) -> None:
        if error is None:
            answers.add(result.as_numpy("labels")[0], time.perf_counter() - due)
        else:
            answers.fail(error)
        left.release()

    with triton.InferenceServerClient(address) as client:
        start = time.perf_counter()
        for number in range(count):
            due = start + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            image = triton.InferInput("image", (1, *frame.shape), "UINT8")
            image.set_data_from_numpy(frame[None])
            client.async_infer(
                MODEL, [image], lambda result, error, due=due: heard(due, result, error),
                outputs=[triton.InferRequestedOutput("labels")],
            )  # fmt: skip
        for _ in range(count):
            left.acquire()
        took = time.perf_counter() - start
    return {"asked": rate, **answers.to_json(took)}


def soak(
    address: str, frame: Frame, right: Frame, seconds: float, processes: list[int]
) -> dict[str, Any]:
    """16 clients; resident memory of server and stub each second."""
    memory: list[int] = []
    end = threading.Event()

    def watch() -> None:
        while not end.wait(1.0):
            memory.append(sum(map(_resident, processes)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        told = closed(address, frame, right, CLIENTS[-1], seconds)
    finally:
        end.set()
        watcher.join()
    minute = min(60, len(memory) // 3)
    after, last = (
        statistics.median(memory[minute : 2 * minute]),
        statistics.median(memory[-minute:]),
    )
    return {
        **told, "seconds": seconds, "memory_mb": round(last / 1e6, 1),
        "growth": round(last / after - 1, 5), "memory": [round(m / 1e6, 1) for m in memory[::10]],
    }  # fmt: skip


def _resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def tables(done: dict[str, dict[str, Any]]) -> str:
    """What stands between the markers of docs/serving.md."""
    first = next(iter(done.values()))["machine"]
    lines = [
        f"{first['cpu']}, {first['cores']} cores, clients and server on the same; times in ms.\n"
    ]
    lines += ["| model | a frame's | direct | HTTP | gRPC |", "| --- | --- | --- | --- | --- |"]
    for case in done.values():
        for kind, name in KINDS.items():
            of = case["overhead"][kind]
            more = (f"{of[way]:.1f} ({of[way] - of['direct']:+.1f})" for way in ("http", "grpc"))
            lines.append(f"| {case['model']} | {name} | {of['direct']:.1f} | {' | '.join(more)} |")
    lines += ["", "| model | clients | p50 | p90 | p99 | frames/s | frames | errors |",
              "| --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for case in done.values():
        loops = {**case["closed"]}
        if "open" in case:
            loops[f"open, {case['open']['asked']:g}/s"] = case["open"]
        if "soak" in case:
            loops[f"16, {case['soak']['seconds'] / 60:g} minutes"] = case["soak"]
        lines += [_row(case["model"], name, loop) for name, loop in loops.items()]
    for case in done.values():
        if "soak" in case:
            soaked = case["soak"]
            lines.append(
                f"\nMemory of server and stub under 16 clients: {soaked['memory_mb']:.0f} MB, "
                f"{soaked['growth']:+.2%} from the second minute to the last."
            )
    return "\n".join(lines) + "\n"


def _row(model: str, clients: str, loop: dict[str, Any]) -> str:
    marks = " | ".join(f"{loop[mark]:.0f}" for mark in ("p50", "p90", "p99"))
    wrong = loop["errors"] + loop["wrong"]
    return f"| {model} | {clients} | {marks} | {loop['rate']:.1f} | {loop['frames']} | {wrong} |"


if __name__ == "__main__":
    main()

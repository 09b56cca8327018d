"""The demo model in NVIDIA's Triton on the CPU, until Ctrl-C; run by ``make serve``."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.tritonserver import TritonServer, why_not

FOLDER = Path("serve")
MODEL, REPOSITORY = FOLDER / "street.onnx", FOLDER / "repository"
NAME = "street"
PORTS = (8000, 8001, 8002)
CLIENT = """\
import numpy as np
import tritonclient.http as triton
from PIL import Image

client = triton.InferenceServerClient("localhost:8000")
frame = np.asarray(Image.open("street.png").convert("RGB"))[None]
image = triton.InferInput("image", frame.shape, "UINT8")
image.set_data_from_numpy(frame)
wanted = [triton.InferRequestedOutput("labels")]
labels = client.infer("street", [image], outputs=wanted).as_numpy("labels")[0]
"""


def main() -> int:
    """Export, pack, serve; the exit code is the first failing command's."""
    reason = why_not()
    if reason is not None:
        print(f"error: {reason}", file=sys.stderr)
        return 3
    for one in (signal.SIGINT, signal.SIGTERM):  # begun in the background, it would not hear Ctrl-C
        signal.signal(one, signal.default_int_handler)
    FOLDER.mkdir(exist_ok=True)
    for command in commands():
        print(f"\n$ {shlex.join(command)}", flush=True)
        program = str(Path(sys.executable).parent / command[0])
        done = subprocess.run([program, *command[1:]], check=False)
        if done.returncode != 0:
            return done.returncode
    try:
        return serve()
    except KeyboardInterrupt:
        print("\nended, the server with its stubs")
        return 0
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def commands() -> list[list[str]]:
    """The commands, in order; the export is kept, and the folder is made anew."""
    shutil.rmtree(REPOSITORY, ignore_errors=True)
    export = ["edaformer-export", "--isr", "16,8,4,1", "--size", "360x480", "-o", str(MODEL)]
    pack = ["edaformer-build", str(MODEL), "--target", "triton", "--runtime", "edaformer"]
    packed = [*pack, "-o", str(REPOSITORY / NAME)]
    return [packed] if MODEL.is_file() else [export, packed]


def serve() -> int:
    """Until Ctrl-C, which is 0, or until the server ends by itself, which is 1.

    The server does not start a stub again that was killed: loading the model anew does.
    """
    options = ("--model-control-mode=explicit", f"--load-model={NAME}")
    with TritonServer(REPOSITORY, *options, ports=PORTS) as server:
        print(f"\nserving {NAME} at http://{server.http} and grpc://{server.grpc}")
        print(f"metrics: http://{server.metrics}/metrics")
        print("a client (pip install 'tritonclient[http]'):\n")
        print("".join(f"    {line}\n" for line in CLIENT.splitlines()))
        print("Ctrl-C ends it", flush=True)
        while server.process.poll() is None:
            if not server.stubs():
                print(f"the process that computes is gone; loading {NAME} again", flush=True)
                server.load_again(NAME)
            time.sleep(1)
        print(f"error: the server has ended:\n{server.said()[-2000:]}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

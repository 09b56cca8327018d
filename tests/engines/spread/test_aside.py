from __future__ import annotations

from threading import Thread

import pytest

from edaformer.engines.spread.aside import ray_aside


def test_only_rays_threads_are_sent_aside(capsys: pytest.CaptureFixture[str]) -> None:
    with ray_aside():
        print("a result")
        for name, text in ("ray_listen_error_messages", "a node died"), ("own", "a callback"):
            thread = Thread(target=print, args=(text,), name=name)
            thread.start()
            thread.join()
    print("afterwards")
    said = capsys.readouterr()
    assert said.out == "a result\na callback\nafterwards\n"
    assert said.err == "a node died\n"

"""Addresses of served models, and servers that are not there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edaformer.engines.artifact.served import ServedModel, is_address, parse_address
from edaformer.errors import InputError, ServerError


@pytest.mark.parametrize(
    ("text", "shown", "way"),
    [
        ("triton://localhost:8000/street", "triton://localhost:8000/street", "http"),
        ("triton+http://localhost:8000/street", "triton://localhost:8000/street", "http"),
        ("triton+grpc://host:8001/a.b/3", "triton+grpc://host:8001/a.b/3", "grpc"),
    ],
)
def test_an_address_survives_being_a_path(text: str, shown: str, way: str) -> None:
    assert is_address(Path(text))
    assert str(parse_address(Path(text))) == shown
    assert parse_address(Path(text)).way == way


@pytest.mark.parametrize("text", ["triton://host/street", "triton+udp://h:1/x", "triton://h:1/"])
def test_what_is_no_address(text: str) -> None:
    assert is_address(Path(text))
    with pytest.raises(InputError, match="expected a served model as triton://"):
        parse_address(Path(text))


@pytest.mark.parametrize("text", ["street.onnx", "triton/street.onnx", "./triton.plan"])
def test_files(text: str) -> None:
    assert not is_address(Path(text))


@pytest.mark.parametrize("scheme", ["triton", "triton+grpc"])
def test_nobody_answers(scheme: str) -> None:
    pytest.importorskip("tritonclient.grpc" if "grpc" in scheme else "tritonclient.http")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ServerError, match="does not answer") as caught:
        ServedModel(Path(f"{scheme}://127.0.0.1:{port}/street"))
    assert caught.value.exit_code == 1

"""The pickle inside a ``.pth``, read without importing or calling anything that it names.

What a name stands for is decided here: the few that tensors are made of become descriptions of
tensors, the rest becomes inert. ``torch.load(weights_only=True)`` is as safe but refuses the whole
file for a class that a training loop left beside the weights (mmengine's HistoryBuffer, Lightning's
AttributeDict); what can be allowed has to be named before, and is no subclass of dict or list.

Python's own unpickler, not the C one: there a number in the file sizes an array (LONG_BINPUT).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from edaformer.errors import CheckpointError
from edaformer.families.reading.inert import (
    Array,
    DType,
    Entries,
    Inert,
    OddTensor,
    Storage,
    Stored,
)
from edaformer.printable import in_one_line

_RUNNERS = {
    "os", "posix", "nt", "sys", "subprocess", "_posixsubprocess", "pty", "shutil", "socket",
    "importlib", "runpy", "ctypes", "code", "codeop", "pickle", "_pickle", "marshal", "webbrowser",
    "commands", "multiprocessing", "asyncio", "pip", "timeit", "bdb", "pdb",
}  # fmt: skip
_RUNNING = {"eval", "exec", "compile", "open", "__import__", "execfile", "input"}  # of these:
_BUILT_IN = {"builtins", "__builtin__", "io", "_io"}
_UNUSED = (pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.EXT1, pickle.EXT2,
           pickle.EXT4)  # fmt: skip
_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128", "ComplexFloatStorage": "complex64",
    "UntypedStorage": "uint8", "QInt8Storage": "qint8", "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32", "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
}  # fmt: skip
_ODD_TENSORS = {
    "_rebuild_sparse_tensor": "sparse", "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_meta_tensor_no_storage": "meta", "_rebuild_qtensor": "quantised",
    "_rebuild_nested_tensor": "nested", "_rebuild_wrapper_subclass": "wrapped",
    "_rebuild_device_tensor_from_numpy": "of another device",
    "_rebuild_device_tensor_from_cpu_tensor": "of another device",
}  # fmt: skip


class _Known:
    """A function that is called after all, because it is ours."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: object) -> Any:
        return self._call(*args)

    def __setstate__(self, state: object) -> None:
        """Nothing in a file changes it."""


class _Named:
    """A dtype or a kind of storage, by PyTorch's name of the dtype."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def __setstate__(self, state: object) -> None:
        """Nothing in a file changes it."""


def unpickle(path: Path, file: BinaryIO, storages: dict[str, Storage] | None = None) -> Any:
    """What the next pickle of ``file`` holds, tensors as descriptions of them.

    Args:
        path: for messages.
        file: read to the pickle's end, and no further.
        storages: is told of all that are referred to.

    Raises:
        CheckpointError: if it names something whose only use is to run a program.
    """
    unpickler = _Unpickler(file)
    unpickler.path = path
    unpickler.storages = {} if storages is None else storages
    return unpickler.load()


class _Unpickler(pickle._Unpickler):  # noqa: SLF001
    dispatch: ClassVar[dict[int, Any]] = {
        code: load
        for code, load in pickle._Unpickler.dispatch.items()  # noqa: SLF001
        if code not in {unused[0] for unused in _UNUSED}
    }

    path: Path
    storages: dict[str, Storage]
    append: Callable[[Any], None]  # to its stack
    pop_mark: Callable[[], list[Any]]

    def find_class(self, module: str, name: str) -> Any:
        top = module.partition(".")[0]
        if top in _RUNNERS or (top in _BUILT_IN and name in _RUNNING):
            raise CheckpointError(
                f"{self.path} asks to run '{in_one_line(f'{module}.{name}')}' while loading, which "
                "a checkpoint has no need of; refused. Save it again with tensors, numbers and "
                "strings only"
            )
        return _meaning(module, name)

    def persistent_load(self, saved: Any) -> Storage:
        kind, named, key, _, numel, *views = saved
        if kind not in {"storage", b"storage"} or not isinstance(named, _Named) or any(views):
            raise ValueError("a reference to something that is no tensor's storage")
        storage = Storage(named.dtype, str(key), numel)
        return self.storages.setdefault(storage.key, storage)

    def load_empty_dictionary(self) -> None:
        self.append(Entries())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(Entries(zip(items[::2], items[1::2], strict=True)))

    def load_empty_set(self) -> None:
        self.append(Inert())

    def load_frozenset(self) -> None:
        self.pop_mark()
        self.append(Inert())

    dispatch[pickle.EMPTY_DICT[0]] = load_empty_dictionary
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.EMPTY_SET[0]] = load_empty_set
    dispatch[pickle.FROZENSET[0]] = load_frozenset


def _meaning(module: str, name: str) -> Any:
    full = f"{module}.{name}"
    if full in _KNOWN:
        return _KNOWN[full]
    if module == "torch._utils" and name in _ODD_TENSORS:
        odd = OddTensor(_ODD_TENSORS[name])
        return _Known(lambda *_: odd)
    if module.partition(".")[0] == "torch" and name in _STORAGES:
        return _Named(_STORAGES[name])
    if module == "torch":
        return _Named(name)
    return type("Inert", (Inert,), {"named": full})


def _tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> Stored:
    return Stored(storage, offset, size, stride, getattr(storage, "dtype", "?"))


def _typed_tensor(*args: Any) -> Stored:
    storage, offset, size, stride, _, _, dtype, *_ = args
    return Stored(storage, offset, size, stride, getattr(dtype, "dtype", "?"))


def _of_type(make: object, kind: object, args: Any, _: object) -> object:
    """A tensor of a class of its own; that of a parameter is no news."""
    if isinstance(make, _Known) and kind in {_KNOWN["torch.Tensor"], _PARAMETER}:
        return make(*args)
    return OddTensor(f"of the class {getattr(kind, 'named', '?')}")


def _bytes(text: object, encoding: object = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in {"latin1", "latin-1"}:
        raise ValueError("no bytes")
    return text.encode("latin-1")


_PARAMETER = type("Parameter", (Inert,), {"named": "torch.nn.parameter.Parameter"})
_KNOWN: dict[str, Any] = {
    "collections.OrderedDict": _Known(Entries),
    "torch._utils._rebuild_tensor": _Known(_tensor),
    "torch._utils._rebuild_tensor_v2": _Known(_tensor),
    "torch._utils._rebuild_tensor_v3": _Known(_typed_tensor),
    "torch._utils._rebuild_parameter": _Known(lambda data, *_: data),
    "torch._utils._rebuild_parameter_with_state": _Known(lambda data, *_: data),
    "torch._tensor._rebuild_from_type_v2": _Known(_of_type),
    "torch.nn.parameter.Parameter": _PARAMETER,
    "torch.Tensor": type("Tensor", (Inert,), {"named": "torch.Tensor"}),
    "torch.Size": _Known(lambda size=(): size),
    "_codecs.encode": _Known(_bytes),
    "numpy.ndarray": type("ndarray", (Inert,), {"named": "numpy.ndarray"}),
    "numpy.dtype": DType,
    "numpy.core.multiarray._reconstruct": _Known(lambda *_: Array()),
    "numpy._core.multiarray._reconstruct": _Known(lambda *_: Array()),
}

"""Stand-ins for libraries that cannot be installed where the tests run.

``api`` says what TensorRT's Python package has, version by version; ``tensorrt`` makes modules that
have exactly that, with enough behind it to build, inspect, load and execute on a CPU. Here is the
gate between the two: classes with the members of a surface and no others, which take arguments as
pybind11 does, whatever does the work behind them.
"""

from __future__ import annotations

import importlib.machinery
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np

from tests.standins.api import Class, Member, Overload, Parameter, Surface


@dataclass(frozen=True)
class Behind:
    """What does the work: functions and properties by class, and what is merely kept."""

    classes: Mapping[str, type]  # members that the surface lacks are never reached
    defaults: Mapping[str, Any]  # of properties, as Class.member; a function is given the object
    functions: Mapping[str, Callable[..., Any]]  # of the module


def gated_module(name: str, surface: Surface, behind: Behind) -> ModuleType:
    """A module with the surface's names; the rest raises AttributeError, on instances too.

    What has nothing behind it raises NotImplementedError when it is used. Every class knows the
    module as ``_module``, and an object's state lies in ``_``.
    """
    module = ModuleType(name, "A stand-in.")
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, origin=__name__)
    made: dict[str, Any] = {}
    for class_name in surface.classes:
        _define(class_name, surface, behind, made, module)
    for alias, (owner, value) in surface.aliases.items():
        setattr(module, alias, getattr(made[owner], value))
    for function in surface.functions:
        setattr(module, function, behind.functions.get(function) or _unsupported(function))
    return module


def new(kind: Any, **state: Any) -> Any:
    """An instance of a class, whether or not Python can construct it."""
    made = object.__new__(kind)
    made._ = SimpleNamespace(**state)
    return made


class _Type(type):
    """pybind11's metaclass: refuses what has no constructor, and whoever skipped its base's."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "__init__" not in cls._api.members:  # type: ignore[attr-defined]
            raise TypeError(f"{_full_name(cls)}: No constructor defined!")
        made = super().__call__(*args, **kwargs)
        if not hasattr(made, "_"):
            base = next(kind for kind in cls.__mro__ if is_ours(kind))
            raise TypeError(
                f"{_full_name(base)}.__init__() must be called when overriding __init__"
            )
        return made


class _Object(metaclass=_Type):
    """Root of the classes: nothing but the state can be set."""

    __slots__ = ("_",)
    _module: Any


def is_ours(kind: type) -> bool:
    """Whether a class is the stand-in's own rather than an application's subclass of it."""
    return "_api" in vars(kind)


def _full_name(kind: type) -> str:
    return f"tensorrt.tensorrt.{kind.__qualname__}"


def _define(
    name: str, surface: Surface, behind: Behind, made: dict[str, Any], module: ModuleType
) -> None:
    """Make one class, after those inside it and those it derives from."""
    if name in made:
        return
    owner, _, own = name.rpartition(".")
    api_class = surface.classes[name]
    for base in api_class.bases:
        _define(base, surface, behind, made, module)
    if api_class.is_enum:
        made[name] = _enum(name, api_class, behind)
    else:
        bases = tuple(made[base] for base in api_class.bases) or (_Object,)
        space = _namespace(name, surface, behind, made, module)
        made[name] = _Type(own, bases, space)
    if not owner:
        setattr(module, name, made[name])


def _namespace(
    name: str, surface: Surface, behind: Behind, made: dict[str, Any], module: ModuleType
) -> dict[str, Any]:
    api_class = surface.classes[name]
    work = _work(behind.classes.get(name, object))
    space: dict[str, Any] = {
        "__slots__": (),
        "__qualname__": name,
        "__module__": "tensorrt.tensorrt",
        "_api": api_class,
        "_module": module,
    }
    for key, member in api_class.members.items():
        if member.type in surface.classes and member.kind in {"class", "value"}:
            _define(member.type, surface, behind, made, module)
            kind = made[member.type]
            space[key] = kind if member.kind == "class" else getattr(kind, key)
        elif member.kind == "value":
            space[key] = member.value
        else:
            what = f"{name}.{key}"
            default = behind.defaults.get(what, _unsupported(what))
            space[key] = _attribute(key, member, work.get(key), default)
    return space | {key: work[key] for key in _PROTOCOLS & work.keys()}


# Special methods by which Python sees what pybind11's objects do in C
_PROTOCOLS = {"__bytes__", "__buffer__", "__hash__"}


def _work(kind: type) -> dict[str, Any]:
    """Members of a class and its bases."""
    return {key: value for base in reversed(kind.__mro__[:-1]) for key, value in vars(base).items()}


def _attribute(key: str, member: Member, work: Any, default: Any) -> Any:
    """The function or property for one member."""
    if key in _LIFETIME:
        return _LIFETIME[key]
    if member.kind in {"method", "static"}:
        return _checked(key, member.overloads, work or (_init if key == "__init__" else default))
    getter = work.fget if isinstance(work, property) else _stored(key, default)
    if member.kind == "readable":
        return property(getter)
    setter = work.fset if isinstance(work, property) and work.fset else _storing(key)
    kept = None if member.kind == "write-only" else getter
    return property(kept, _checked_setter(member.type, setter))


def _stored(key: str, default: Any) -> Callable[[Any], Any]:
    def get(self: Any) -> Any:
        if hasattr(self._, key):
            return getattr(self._, key)
        return default(self) if callable(default) else default

    return get


def _storing(key: str) -> Callable[[Any, Any], None]:
    return lambda self, value: setattr(self._, key, value)


def _unsupported(what: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise NotImplementedError(f"the stand-in for TensorRT does not do {what}")

    return refuse


def _init(self: Any) -> None:
    self._ = SimpleNamespace()


def _enter(this: Any) -> Any:
    warnings.warn("Context managers are deprecated.", DeprecationWarning, stacklevel=2)
    return this


# tensorrt/__init__.py adds the first two
_LIFETIME: dict[str, Callable[..., Any]] = {
    "__enter__": _enter,
    "__exit__": lambda *_: None,
    "__del__": lambda _: None,
}


def _checked(
    name: str, overloads: tuple[Overload, ...], function: Callable[..., Any]
) -> Callable[..., Any]:
    """``function`` behind pybind11's choice of an overload; seen: TypeError where none fits."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        for overload in overloads:
            bound = _bind(overload, args, kwargs, self._module)
            if bound is not None:
                return function(self, **bound)
        raise TypeError(f"{name}(): incompatible function arguments. Invoked with: {args} {kwargs}")

    call.__name__ = name
    return call


def _checked_setter(kind: str, setter: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def assign(self: Any, value: Any) -> None:
        if value is not None and not _accepts(kind, value, self._module):
            raise TypeError(f"(): incompatible function arguments. Invoked with: {value}")
        setter(self, value)

    return assign


def _bind(
    overload: Overload, args: Sequence[Any], kwargs: Mapping[str, Any], module: Any
) -> dict[str, Any] | None:
    """The arguments by name, or None where they are not this overload's."""
    if len(args) > len(overload):
        return None
    bound = dict(zip((parameter.name for parameter in overload), args, strict=False))
    if bound.keys() & kwargs.keys():
        return None
    bound.update(kwargs)
    if bound.keys() - {parameter.name for parameter in overload}:
        return None
    for parameter in overload:
        if parameter.name not in bound:
            if not parameter.optional:
                return None
        elif not _takes(parameter, bound[parameter.name], module):
            return None
    return bound


def _takes(parameter: Parameter, value: Any, module: Any) -> bool:
    return (parameter.nullable and value is None) or _accepts(parameter.type, value, module)


def _accepts(kind: str, value: Any, module: Any) -> bool:
    """Whether pybind11 converts ``value`` to what the stubs call ``kind``; unknown ones pass."""
    simple: dict[str, Callable[[Any], Any]] = {
        "int": lambda v: hasattr(v, "__index__"),
        "float": lambda v: isinstance(v, (int, float)),
        "bool": lambda v: isinstance(v, (int, np.bool_)) or v is None,
        "str": lambda v: isinstance(v, str),
        "tuple": lambda v: isinstance(v, tuple),
        "list": lambda v: isinstance(v, list),
        "Dims": lambda v: isinstance(v, (tuple, list, module.Dims)),
        "typing_extensions.Buffer": _is_buffer,
    }
    if kind in simple:
        return bool(simple[kind](value))
    found: Any = module
    for part in kind.split("."):
        found = getattr(found, part, None)
    return not isinstance(found, type) or isinstance(value, found)


def _is_buffer(value: Any) -> bool:
    if isinstance(value, _Object):
        return hasattr(value, "__bytes__")
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


class _Enum:
    """A pybind11 enum: not an int, not iterable, equal to its own kind only (seen)."""

    __slots__ = ("_value",)
    __members__: Mapping[str, Any] = {}

    def __init__(self, value: int) -> None:
        if not hasattr(value, "__index__"):
            raise TypeError(f"__init__(): incompatible constructor arguments: {value!r}")
        self._value = int(value)

    @property
    def value(self) -> int:
        return self._value

    @property
    def name(self) -> str:
        same = (key for key, member in self.__members__.items() if int(member) == self._value)
        return next(same, "???")

    def __int__(self) -> int:
        return self._value

    def __index__(self) -> int:
        return self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and int(cast(Any, other)) == self._value

    def __repr__(self) -> str:
        return f"<{self}: {self._value}>"

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


def _enum(name: str, api_class: Class, behind: Behind) -> Any:
    made: Any = type(
        name.rpartition(".")[2],
        (_Enum,),
        {"__slots__": (), "__qualname__": name, "__module__": "tensorrt.tensorrt"},
    )
    for operator in ("__lt__", "__le__", "__gt__", "__ge__"):
        if operator in api_class.members:  # py::arithmetic; without it there is no order at all
            setattr(made, operator, _comparison(operator))
    for key, member in api_class.members.items():
        if member.kind == "readable" and key not in vars(_Enum):
            setattr(made, key, property(behind.defaults[f"{name}.{key}"]))
    made.__members__ = {key: made(number) for key, number in api_class.values.items()}
    for key, value in made.__members__.items():
        setattr(made, key, value)
    return made


def _comparison(operator: str) -> Callable[[Any, Any], bool]:
    def compare(self: Any, other: Any) -> bool:
        if type(other) is not type(self):
            raise TypeError("Expected an enumeration of matching type!")
        return bool(getattr(int(self), operator)(int(other)))

    return compare

"""What ``torch.compile`` needs, more than a second of imports, is loaded when something compiles.

Every optimiser of torch imports ``torch._dynamo``, only to tell a compiler what not to trace, and so do
Fabric, to recognise compiled modules, and torchvision, for operators that may be compiled. Stand-ins answer
these until something asks for anything else: that loads the modules themselves, which take their places.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any

NAME = "torch._dynamo"
UTILS = f"{NAME}.utils"


class LateCompiler(MetaPathFinder, Loader):
    """Finds the stand-ins under the names of the modules, until those themselves are loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a stand-in; asked for another module below it, that of the real one."""
        if fullname in _STAND_INS:
            return ModuleSpec(fullname, self, is_package=fullname == NAME)
        if not fullname.startswith(f"{NAME}."):
            return None
        real = load_compiler()
        if module := sys.modules.get(fullname):
            return ModuleSpec(fullname, _Loaded(module))
        return importlib.machinery.PathFinder.find_spec(fullname, real.__path__)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The stand-in."""
        return _STAND_INS[spec.name](spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it is complete."""


def load_compiler() -> ModuleType:
    """The module itself, from now on in the place of its stand-in."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, LateCompiler)]
    if isinstance(sys.modules.get(NAME), _StandIn):
        for name in _STAND_INS:
            sys.modules.pop(name, None)
        vars(sys.modules["torch"]).pop("_dynamo", None)
    return importlib.import_module(NAME)


class _Loaded(Loader):
    """Gives a module that has been loaded already to an import that has not noticed."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class _OfCompiled(type):
    def __instancecheck__(cls, instance: object) -> bool:
        real = sys.modules.get(NAME)
        return not isinstance(real, _StandIn | None) and isinstance(
            instance, getattr(real, "OptimizedModule", ())
        )


class _StandIn(ModuleType):
    """As long as nothing has been compiled, nothing is a compiled module, and there is nothing to disable."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # asked of every module by whoever lists them
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        load_compiler()
        return getattr(importlib.import_module(self.__name__), name)

    class OptimizedModule(metaclass=_OfCompiled):
        """The type of compiled modules, also of those that are compiled later."""

    @staticmethod
    def graph_break(**_: object) -> None:
        """Nothing is being traced."""

    @staticmethod
    def disable(fn: Any = None, recursive: bool = True, **options: Any) -> Any:  # noqa: ANN401 - torch's own
        """The function, hidden from a compiler if there is one by the time of the call."""
        if not isinstance(fn, FunctionType):
            return load_compiler().disable(fn, recursive, **options)
        hidden: list[Callable[..., Any]] = []

        def call(*args: object, **kwargs: object) -> object:
            real = sys.modules.get(NAME)
            if isinstance(real, _StandIn | None):
                return fn(*args, **kwargs)
            if not hidden:
                hidden.append(real.disable(fn, recursive, **options))
            return hidden[0](*args, **kwargs)

        return call


class _UtilsStandIn(_StandIn):
    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        """What the module itself says, by the time of the call."""
        return bool(load_compiler().utils.is_compile_supported(device_type))


_STAND_INS: dict[str, type[_StandIn]] = {NAME: _StandIn, UTILS: _UtilsStandIn}

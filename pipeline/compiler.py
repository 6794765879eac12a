"""Load ``torch._dynamo``, more than a second of imports, only when something is compiled.

Torch's optimisers import it only to mark code that must not be traced, Fabric to recognise compiled modules,
and torchvision for operators that may be compiled. Stand-in modules serve these uses. Any other access loads
the real modules, which replace the stand-ins.
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
    """Finds the stand-ins under the modules' names until the real modules are loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a stand-in, or that of a real module for any other module in the package."""
        if fullname in _STAND_INS:
            return ModuleSpec(fullname, self, is_package=fullname == NAME)
        if not fullname.startswith(f"{NAME}."):
            return None
        real = load_compiler()
        if module := sys.modules.get(fullname):
            return ModuleSpec(fullname, _Loaded(module))
        return importlib.machinery.PathFinder.find_spec(fullname, real.__path__)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Create the stand-in."""
        return _STAND_INS[spec.name](spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the stand-in is complete."""


def load_compiler() -> ModuleType:
    """Load the real module, which replaces its stand-in."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, LateCompiler)]
    if isinstance(sys.modules.get(NAME), _StandIn):
        for name in _STAND_INS:
            sys.modules.pop(name, None)
        vars(sys.modules["torch"]).pop("_dynamo", None)
    return importlib.import_module(NAME)


class _Loaded(Loader):
    """Returns a module that was already loaded while its spec was being looked up."""

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
    """A stand-in for use before anything is compiled: no module is compiled, and nothing needs disabling."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # code that inspects all modules asks for these
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        load_compiler()
        return getattr(importlib.import_module(self.__name__), name)

    class OptimizedModule(metaclass=_OfCompiled):
        """The type of compiled modules, including those compiled later."""

    @staticmethod
    def graph_break(**_: object) -> None:
        """Do nothing, since nothing is being traced."""

    @staticmethod
    def disable(fn: Any = None, recursive: bool = True, **options: Any) -> Any:  # noqa: ANN401 - torch's own
        """The function, hidden from the compiler if it is loaded when the function is called."""
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
        """Ask the real module when called."""
        return bool(load_compiler().utils.is_compile_supported(device_type))


_STAND_INS: dict[str, type[_StandIn]] = {NAME: _StandIn, UTILS: _UtilsStandIn}

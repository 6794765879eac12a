"""What ``torch.compile`` needs, more than a second of imports, is loaded when something compiles.

Every optimiser of torch imports ``torch._dynamo``, only to tell a compiler what not to trace, and so does
Fabric, to recognise compiled modules. A stand-in answers these until something asks for anything else: that
loads the module itself, which takes the stand-in's place.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any

NAME = "torch._dynamo"


class LateCompiler(MetaPathFinder, Loader):
    """Finds the stand-in under the name of the module, once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the stand-in; asked for a module below it, that of the real one."""
        if fullname == NAME and fullname not in sys.modules:
            return ModuleSpec(NAME, self, is_package=True)
        if not fullname.startswith(f"{NAME}."):
            return None
        real = load_compiler()
        if module := sys.modules.get(fullname):
            return ModuleSpec(fullname, _Loaded(module))
        return importlib.machinery.PathFinder.find_spec(fullname, real.__path__)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The stand-in."""
        return _StandIn(spec.name, __doc__)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it is complete."""


def load_compiler() -> ModuleType:
    """The module itself, from now on in the place of its stand-in."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, LateCompiler)]
    if isinstance(sys.modules.get(NAME), _StandIn):
        del sys.modules[NAME]
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
        return not isinstance(real, _StandIn | None) and isinstance(instance, real.OptimizedModule)


class _StandIn(ModuleType):
    """As long as nothing has been compiled, nothing is a compiled module, and there is nothing to disable."""

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

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # asked of every module by whoever lists them
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(load_compiler(), name)

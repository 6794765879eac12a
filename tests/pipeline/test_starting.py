"""Processes of the entry start without importing the compiler, and end quickly."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from tests.imports import ROOT


def run(program, *, returns=0):
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == returns, done.stderr
    return done.stdout.splitlines()


def test_the_compiler_is_loaded_when_something_compiles_and_not_by_an_optimiser():
    found = run(
        """
        import pipeline, sys
        import torch
        import torchvision.models
        from lightning_fabric import Fabric
        from lightning_fabric.wrappers import OptimizedModule, is_wrapped

        network = torch.nn.Linear(2, 2)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        fabric = Fabric(accelerator="cpu", devices=1)
        module, wrapped = fabric.setup(network, optimizer)
        fabric.backward(module(torch.ones(1, 2)).sum())
        wrapped.step()
        wrapped.zero_grad()
        plain = torch._dynamo.disable(lambda x: (torch.compiler.is_compiling(), x + 1))
        print(plain(1), isinstance(network, OptimizedModule), hasattr(torch._dynamo, "__file__"))
        print("torch._dynamo.eval_frame" in sys.modules, "sympy" in sys.modules)

        compiled = torch.compile(torch.nn.Linear(2, 2), backend="eager")
        compiled(torch.ones(1, 2))
        print("torch._dynamo.eval_frame" in sys.modules, isinstance(compiled, OptimizedModule))
        print(type(fabric.setup(compiled)._forward_module).__name__, isinstance(network, OptimizedModule))
        print(torch.compile(lambda x: plain(x), backend="eager")(torch.ones(1))[0])
        """
    )
    assert found == [
        "(False, 2) False False",
        "False False",
        "True True",
        "OptimizedModule False",
        "False",
    ]


def test_what_torchvision_took_from_the_compiler_works_before_and_after_it_is_loaded():
    found = run(
        """
        import pipeline, sys
        import torch
        from torchvision.ops.roi_align import is_compile_supported, roi_align
        print("torch._dynamo.eval_frame" in sys.modules)
        boxes = [torch.tensor([[0.0, 0.0, 2.0, 2.0]])]
        print(tuple(roi_align(torch.ones(1, 1, 4, 4), boxes, output_size=2).shape))
        supported = is_compile_supported("cpu")
        print(supported is sys.modules["torch._dynamo.utils"].is_compile_supported("cpu"))
        utils = sys.modules["torch._dynamo.utils"]
        print(utils is torch._dynamo.utils, hasattr(utils, "__file__"))
        """
    )
    assert found == ["False", "(1, 1, 2, 2)", "True", "True True"]


def test_a_module_below_the_compiler_loads_it_once():
    found = run(
        """
        import pipeline, sys
        import torch
        stand_in = torch._dynamo
        import torch._dynamo.config as config
        import torch._dynamo
        print(config is torch._dynamo.config is sys.modules["torch._dynamo.config"])
        print(config.__spec__.origin[-9:])
        print(stand_in is torch._dynamo, stand_in.config is config)
        try:
            import torch._dynamo.no_such_module
        except ModuleNotFoundError as error:
            print(error.name)
        """
    )
    assert found == ["True", "config.py", "False True", "torch._dynamo.no_such_module"]


def test_the_end_of_a_process_closes_what_is_open():
    found = run(
        """
        import atexit, sys, threading, time, weakref
        from pipeline.leaving import leave

        class Open: pass
        is_open = Open()
        weakref.finalize(is_open, print, "closed")
        atexit.register(print, "at exit")
        threading.Thread(target=lambda: (time.sleep(0.2), print("thread ended"))).start()
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        print("left", end=" ")
        leave(3)
        """,
        returns=3,
    )
    assert sorted(found) == ["at exit", "closed", "left thread ended"]


def test_output_that_is_lost_is_said_by_the_exit_code():
    program = "import sys; sys.stdout.write('x'); from pipeline.leaving import leave; leave(0)"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=buffered, stdout=full, check=False
        )
    assert done.returncode == 120


def test_output_that_nobody_wanted_to_begin_with_is_not_lost():
    program = "print('x'); from pipeline.leaving import leave; leave(0)"
    command = ["sh", "-c", '"$0" -c "$1" >&- 2>&-', sys.executable, program]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0

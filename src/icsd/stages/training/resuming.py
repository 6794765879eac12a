"""The state that an interrupted run resumes from, and the checks that a saved state belongs to this run."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from icsd.stages.training.process import Run
from icsd.stages.training.setup import Setup
from icsd.training.checkpoint import resume
from icsd.training.loop import Progress
from icsd.training.monitor import Monitor


def state_of(run: Run, setup: Setup, progress: Progress, monitor: Monitor) -> dict[str, Any]:
    """The state that ``restore`` resumes from."""
    return {
        "run": run.state.name,
        "distiller": setup.distiller.state_dict(),
        "optimizer": setup.optimizer.state_dict(),
        "monitor": monitor.state_dict(),
        "progress": vars(progress),
    }


def restore(run: Run, setup: Setup, monitor: Monitor) -> Progress:
    """Resume from the last good state and print a line about it; start from the beginning without one.

    Call it after ``set_up``: an optimiser loads its momentum to the device of its parameters. The first rank
    reads the state and broadcasts it; the number of processes may differ from that of the saving run.
    """
    load = partial(_load, run=run, setup=setup, monitor=monitor)
    progress, problems, state = None, list[str](), None
    if run.fabric.is_global_zero:
        found, problems = resume(run.checkpoint, lambda state: (load(state), state))
        progress, state = found or (None, None)
    if run.fabric.world_size > 1:
        state = run.fabric.broadcast(state)
        if not run.fabric.is_global_zero and state is not None:
            progress = load(state)
    going_on = f"resuming after epoch {progress.epoch}" if progress else "training from the beginning"
    if problems:
        run.fabric.print(f"warning: {run.state}: {'; '.join(problems)}; {going_on}", flush=True)
    elif progress:
        run.fabric.print(going_on, flush=True)
    return progress or Progress()


def _load(state: Mapping[str, Any], *, run: Run, setup: Setup, monitor: Monitor) -> Progress:
    fresh = state_of(run, setup, Progress(), monitor)
    if state.keys() != fresh.keys():
        raise ValueError("does not have the parts of a state")
    if state["run"] != run.state.name:
        raise ValueError(f"belongs to another run, {state['run']}")
    if _shapes(state["distiller"]) != _shapes(fresh["distiller"]):
        raise ValueError("holds other networks than this run's")
    if not _fits(state["optimizer"], fresh["optimizer"], setup):
        raise ValueError("holds the optimiser of another run")
    if not isinstance(state["monitor"], dict) or state["monitor"].keys() != fresh["monitor"].keys():
        raise ValueError("does not hold what this run's monitor has measured")
    progress = _progress(state["progress"], setup)
    monitor.load_state_dict(state["monitor"])
    setup.distiller.load_state_dict(state["distiller"])
    setup.optimizer.load_state_dict(state["optimizer"])
    progress.resumed += 1
    return progress


def _shapes(tensors: object) -> object:
    """The shapes and types of a dictionary of tensors; anything else is returned as it is."""
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        return tensors
    return {name: (value.shape, value.dtype) for name, value in tensors.items()}


def _fits(saved: Any, fresh: Mapping[str, Any], setup: Setup) -> bool:  # noqa: ANN401 - what a file holds
    """Whether a saved state has this optimiser's groups, and averages in the shapes of its parameters."""
    try:
        groups = [group["params"] for group in saved["param_groups"]]
        kinds = [set(group) for group in saved["param_groups"]]
        averages = {index: tuple(entry.values()) for index, entry in saved["state"].items()}
    except (AttributeError, KeyError, TypeError):
        return False
    parameters = [parameter for group in setup.optimizer.param_groups for parameter in group["params"]]
    return (
        groups == [group["params"] for group in fresh["param_groups"]]
        and kinds == [set(group) for group in fresh["param_groups"]]  # SGD's groups are not AdamW's
        and all(
            index in range(len(parameters)) and all(_belongs(value, parameters[index]) for value in values)
            for index, values in averages.items()
        )
    )


def _belongs(value: Any, parameter: Tensor) -> bool:  # noqa: ANN401 - what a file holds
    """Whether the value is an average in a parameter's shape, a count of steps, or None before the first."""
    return value is None or (isinstance(value, Tensor) and value.shape in ((), parameter.shape))


def _progress(saved: Any, setup: Setup) -> Progress:  # noqa: ANN401 - what a file holds
    try:
        progress = Progress(**saved)
        epochs = [row["epoch"] for row in progress.history]
        complete = 0 < progress.epoch <= setup.schedule.epochs and progress.seconds >= 0 <= progress.resumed
        complete &= 0 <= progress.cached_epochs <= progress.epoch and progress.seconds_saved < float("inf")
        complete &= progress.processor_seconds >= 0 and progress.processor_saved < float("inf")
    except (TypeError, KeyError) as error:
        raise ValueError("does not say how far the run has come") from error
    if not complete or epochs != list(range(1, progress.epoch + 1)):
        raise ValueError(f"says epoch {progress.epoch} of {setup.schedule.epochs}, and its history does not")
    best = progress.best_weights
    if best is not None and _shapes(best) != _shapes(setup.student.state_dict()):
        raise ValueError("holds the best weights of another network")
    return progress

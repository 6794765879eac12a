"""The command: measures all forms of all models in turn, prints the table, and writes it if asked to."""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import torch
from tqdm import tqdm

from icsd.commands.bench.forms import (
    KINDS,
    LABELS,
    Kind,
    Row,
    check_libraries,
    find,
    rows_of,
    without_compiler,
)
from icsd.commands.bench.machine import machine
from icsd.commands.bench.sizes import typed_sizes, usual_sizes
from icsd.commands.bench.table import Measured, check_suffix, spoken, to_file, to_text
from icsd.commands.predict.run import device_named
from icsd.deployment.latency import measure_latency
from icsd.errors import UserError
from icsd.files import check_writable, write_bytes
from icsd.machine import cores

_ROUNDS = 20


def bench(
    root: Path,
    models: Sequence[str],
    *,
    sizes: Sequence[str],
    threads: Sequence[int],
    kinds: Sequence[Kind],
    batch: int,
    seconds: float,
    device: str,
    dataset: str | None,
    out: Path | None,
) -> None:
    """Measure models, and print the table.

    Args:
        root: The repository.
        models: See ``icsd.commands.named_models``.
        sizes: Sizes as they were typed; empty for those of the models' datasets.
        threads: Numbers of CPU threads; empty for one and all.
        kinds: Forms of a network; empty for all.
        batch: Images per call.
        seconds: Time per line of the table.
        device: ``auto`` is the CPU and, if available, CUDA; ``cpu`` and ``cuda`` are only that one.
        dataset: See ``icsd.commands.named_models``.
        out: File for the table; its suffix sets the format.

    Raises:
        UserError: No such model, nothing to measure, a missing library, or images that a model cannot take.
    """
    if out is not None:
        out = out.expanduser()
        check_suffix(out)
        check_writable(out)
    wanted_sizes = typed_sizes(sizes)
    numbers = _threads(threads)
    devices = _devices(device)
    wanted = list(dict.fromkeys(kinds)) or list(KINDS)
    found = [find(root, named, dataset) for named in dict.fromkeys(models)]
    check_libraries(found, wanted if devices[0].type == "cpu" else [])
    for model in found if not sizes else []:
        wanted_sizes += [size for size in usual_sizes(root, model.card) if size not in wanted_sizes]
    if "compiled" in wanted and not all(model.is_file for model in found):
        _leave_out_compiled(wanted, devices)
    place = machine(devices)
    with TemporaryDirectory() as folder:
        rows = []
        for number, model in enumerate(found):
            own = Path(folder) / str(number)
            rows += list(rows_of(root, model, wanted, devices, own, lambda what: click.echo(what, err=True)))
        if not rows:
            raise UserError("nothing is left to measure: exported files run on the CPU; give --device cpu")
        measured = _measure(rows, wanted_sizes, numbers, batch, seconds)
    click.echo(spoken(place))
    click.echo(to_text(measured), nl=False)
    if out is not None:
        write_bytes(out, to_file(measured, place, out.suffix))
        click.echo(f"written to {out}", err=True)


def _measure(
    rows: Sequence[Row], sizes: Sequence[tuple[int, int]], threads: Sequence[int], batch: int, seconds: float
) -> list[Measured]:
    steps = len(rows) * (1 + len(sizes) * len(threads)) + _ROUNDS
    bar: tqdm[Any] = tqdm(total=steps, leave=False, disable=None)

    def advance(what: str) -> None:
        bar.set_description(what)
        bar.update()

    with bar:
        latencies = measure_latency(
            [row.form for row in rows],
            sizes,
            threads=threads,
            batch=batch,
            rounds=_ROUNDS,
            seconds=seconds,
            advance=advance,
        )
    by_name = {row.form.name: row for row in rows}
    return [
        Measured(by_name[latency.form].model, by_name[latency.form].label, latency) for latency in latencies
    ]


def _threads(numbers: Sequence[int]) -> list[int]:
    if too_many := [number for number in numbers if number > cores()]:
        raise UserError(f"--threads {too_many[0]}: this machine has {cores()} cores for this process")
    return list(dict.fromkeys(numbers or (1, cores())))


def _devices(name: str) -> list[torch.device]:
    best = device_named(name)
    cpu = torch.device("cpu")
    return [best] if name != "auto" or best == cpu else [cpu, best]


def _leave_out_compiled(kinds: list[Kind], devices: Sequence[torch.device]) -> None:
    """If nothing can be compiled, print a note and measure the other forms."""
    for device in devices:
        if reason := without_compiler(device):
            kinds.remove("compiled")
            print(f"{LABELS['compiled']} is left out: no compiler works here ({reason})", file=sys.stderr)
            if not kinds:
                raise UserError("--form compiled: is all that was asked for; give another form, too")
            return

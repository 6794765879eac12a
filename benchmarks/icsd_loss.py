"""Cost of the ICSD loss: a loop over class pairs, torch's operations, chunks of positions, and a floor.

    PYTHONPATH=src:. python benchmarks/icsd_loss.py [--quick]

Forward and backward on random logits, with and without an ignore mask. ``loop`` is the released code's form:
C (C + 1) / 2 calls of a KL divergence per network (softmax over the height, rows normalised), without a
mask. ``plain`` is the paper's form in torch's own operations, ``chunked`` the one used in training. ``floor``
is the minimum of any form: it reads both networks' logits, reads the student's again and writes its gradient.
Memory is the peak above the inputs, in multiples of the logits' size. One thread.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from measuring import peak_megabytes, section
from torch import Tensor
from torch.nn import functional as F

from icsd.core.similarity import ics_matrix, plain_ics_matrix

Loss = Callable[[Tensor, Tensor], Tensor]
SIZES = ((2, 21, 129, 5), (2, 21, 513, 2))  # batch, classes, height and width, rounds
QUICK = ((1, 4, 17, 1),)
HEADER = ("logits", "mask", "form", "ms", "faster than the loop", "× the floor", "memory", "error")


def paper(matrix_of: Callable[..., Tensor], valid: Tensor | None, student: Tensor, teacher: Tensor) -> Tensor:
    """The paper's form, with either function for the matrices."""
    return F.mse_loss(matrix_of(student, valid=valid), matrix_of(teacher, valid=valid))


def loop(student: Tensor, teacher: Tensor) -> Tensor:
    """The released form, pair by pair."""

    def matrix(logits: Tensor) -> Tensor:
        p = F.softmax(logits, dim=2)
        classes = logits.shape[1]
        entries = torch.zeros(classes, classes)
        for i in range(classes):
            for j in range(i, classes):
                # Indexed in every pair, as in the released code: each gradient fills a tensor of all classes.
                entries[i, j] = entries[j, i] = F.kl_div(p[:, i], p[:, j], reduction="batchmean")
        return F.normalize(entries, dim=1)

    return F.mse_loss(matrix(student), matrix(teacher)) / student.shape[0]


def gradient(loss: Loss, student: Tensor, teacher: Tensor) -> Tensor:
    """Gradient with respect to the student's logits."""
    student = student.detach().requires_grad_()
    (found,) = torch.autograd.grad(loss(student, teacher), student)
    return found


def floor(student: Tensor, teacher: Tensor, out: Tensor) -> None:
    """The memory traffic that every form needs."""
    student.sum()
    teacher.sum()
    out.copy_(student)


def processor_seconds(variants: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median CPU seconds of interleaved variants; with one thread, other load affects CPU time least."""
    for call in variants.values():
        call()
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, call in variants.items():
            start = time.process_time()
            call()
            found[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in found.items()}


def rows_of(batch: int, classes: int, size: int, rounds: int) -> list[list[object]]:
    """The rows of one size: every form with and without a mask, interleaved."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, batch, classes, size, size, generator=generator)
    valid = torch.rand(batch, size, size, generator=generator) < 0.95
    forms: dict[tuple[str, str], Loss] = {("no", "loop"): loop}
    for mask, counted in (("5 %", valid), ("no", None)):
        for name, matrix_of in (("plain", plain_ics_matrix), ("chunked", ics_matrix)):
            forms[mask, name] = partial(paper, matrix_of, counted)
    exact = {
        mask: gradient(partial(paper, plain_ics_matrix, counted), student.double(), teacher.double())
        for mask, counted in (("5 %", valid), ("no", None))
    }
    calls: dict[tuple[str, str], Callable[[], object]] = {
        key: partial(gradient, loss, student, teacher) for key, loss in forms.items()
    }
    calls["no", "floor"] = partial(floor, student, teacher, torch.empty_like(student))
    labels = {f"{mask} {name}": (mask, name) for mask, name in calls}
    times = processor_seconds({label: calls[key] for label, key in labels.items()}, rounds=rounds)
    tensor = student.numel() * student.element_size() / 1e6
    rows: list[list[object]] = []
    for label, (mask, name) in labels.items():
        error = "–"
        if name in ("plain", "chunked"):
            found = gradient(forms[mask, name], student, teacher)
            error = f"{(found - exact[mask]).norm() / exact[mask].norm():.1e}"
        memory = peak_megabytes(calls[mask, name], torch.device("cpu")) / tensor
        rows.append(
            [
                f"{batch} × {classes} × {size}²",
                mask,
                name,
                f"{1e3 * times[label]:.1f}",
                f"{times['no loop'] / times[label]:.1f}",
                f"{times[label] / times['no floor']:.1f}",
                f"{memory:.1f}",
                error,
            ]
        )
    return rows


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description="What the ICSD loss costs, form by form")
    parser.add_argument("--quick", action="store_true", help="a tiny size")
    sizes = QUICK if parser.parse_args().quick else SIZES
    torch.set_num_threads(1)
    text = (
        "Forward and backward pass of the released loop over class pairs, of the paper's form in plain "
        "torch operations, and of the chunked form that training uses. The floor reads the logits of both "
        "networks, reads the student's once more, and writes the gradient. Memory is in tensors of the "
        "size of the logits; the error of the gradient is relative to float64. Processor time of one "
        "thread."
    )
    print(section("The ICSD loss", text, HEADER, [row for size in sizes for row in rows_of(*size)]), end="")


if __name__ == "__main__":
    main()

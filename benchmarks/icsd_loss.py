"""How much faster and smaller the ICSD loss is than a loop over class pairs.

    PYTHONPATH=src python benchmarks/icsd_loss.py [--classes 21] [--size 129] [--batch 4] [--repeats 5]

Both variants of the loss, forward and backward, against the same numbers computed pair by pair: the way the
authors' code does it (C (C + 1) / 2 calls of a KL divergence per network), and for the paper's form C² of
them. All are timed interleaved in one run, so that the ratios can be compared; absolute times belong to the
machine that is printed. Memory is the peak above the inputs (``measuring.peak_megabytes``).
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import torch
from measuring import machine, peak_megabytes, seconds
from torch import Tensor
from torch.nn import functional as F

from icsd.core.similarity import ics_matrix
from icsd.methods.icsd import released_loss

Loss = Callable[[Tensor, Tensor], Tensor]


def paper(student: Tensor, teacher: Tensor) -> Tensor:
    """The paper's form, one matrix product per network."""
    return F.mse_loss(ics_matrix(student), ics_matrix(teacher))


def paper_by_pairs(student: Tensor, teacher: Tensor) -> Tensor:
    """The paper's form, pair by pair."""

    def matrix(logits: Tensor) -> Tensor:
        maps = F.log_softmax(logits.flatten(2), dim=2).unbind(dim=1)
        entries = [F.kl_div(q, p, reduction="none", log_target=True).sum(dim=1) for p in maps for q in maps]
        return torch.stack(entries)

    return F.mse_loss(matrix(student), matrix(teacher))


def released_by_pairs(student: Tensor, teacher: Tensor) -> Tensor:
    """The released form, pair by pair."""

    def matrix(logits: Tensor) -> Tensor:
        maps = F.softmax(logits, dim=2).unbind(dim=1)
        classes = range(len(maps))
        upper = {
            (i, j): F.kl_div(maps[i], maps[j], reduction="batchmean") for i in classes for j in classes[i:]
        }
        rows = [torch.stack([upper[min(i, j), max(i, j)] for j in classes]) for i in classes]
        return F.normalize(torch.stack(rows), dim=1)

    return F.mse_loss(matrix(student), matrix(teacher)) / student.shape[0]


PAIRS: dict[str, tuple[Loss, Loss]] = {
    "paper": (paper, paper_by_pairs),
    "released": (released_loss, released_by_pairs),
}


def main() -> None:
    """Measure and print one line per variant."""
    parser = argparse.ArgumentParser(description="ICSD loss: one matrix product against a loop over pairs")
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--size", type=int, default=129, help="height and width of the logits")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape = (arguments.batch, arguments.classes, arguments.size, arguments.size)
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
    print(f"{machine(device)}, torch {torch.__version__}; logits {shape}, forward and backward")
    print("variant           ms   by pairs    ratio        MB   by pairs    ratio   difference")
    for name, losses in PAIRS.items():
        steps = [partial(step, loss, student, teacher) for loss in losses]
        for loss in losses:
            step(loss, student[:1, :2].detach(), teacher[:1, :2])  # the warm-up
        memory = [peak_megabytes(call, device) for call in steps]
        values = [call() for call in steps]
        times: list[list[float]] = [[], []]
        for _ in range(arguments.repeats):
            for record, call in zip(times, steps, strict=True):
                record.append(seconds(call, device))
        ours, theirs = (1e3 * statistics.median(record) for record in times)
        difference = abs(values[0] - values[1]) / abs(values[1])
        print(
            f"{name:<10} {ours:9.1f}  {theirs:9.1f} {theirs / ours:7.1f}x "
            f"{memory[0]:9.1f}  {memory[1]:9.1f} {memory[1] / memory[0]:7.1f}x   {difference:10.1e}"
        )


def step(loss: Loss, student: Tensor, teacher: Tensor) -> float:
    """The value, after a backward pass."""
    value = loss(student.requires_grad_(), teacher)
    torch.autograd.grad(value, student)
    return value.item()


if __name__ == "__main__":
    main()

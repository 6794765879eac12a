"""Loss health: each loss term's share of the student's gradient, and its agreement with cross-entropy.

A distillation term that has no effect, or outweighs all others, makes a comparison of methods meaningless,
and loss curves do not show it, because the student is updated by a term's gradient, not by its value. In a
few steps per epoch each term is therefore differentiated separately. This does not affect training: the
forward pass is the same, no random number is drawn and no gradient is accumulated, so the trained weights are
bit-identical with and without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import cast

import torch
import torch._functorch.config
from lightning_fabric import Fabric
from torch import Tensor, nn

from icsd.core.health import DOMINANT_SHARE, NEGLIGIBLE_SHARE, in_percent
from icsd.core.supervision import AUXILIARY

Gradient = Sequence[Tensor | None]


class HealthMeter:
    """Loss health of one epoch: means over its measured steps.

    The gradients are those of a step's batch, averaged over the ranks. With gradient accumulation, only each
    rank's first part is measured; it has fewer images, so its gradients are noisier and the cosines closer to
    0.

    Args:
        student: The network whose gradients are compared, without the method's adapters.
        steps: The steps of the epoch to measure, from ``measured_steps``.
    """

    def __init__(self, student: nn.Module, steps: frozenset[int]) -> None:
        self._parameters = [parameter for parameter in student.parameters() if parameter.requires_grad]
        self._steps = steps
        self._measured: list[dict[str, Tensor]] = []

    def measure(
        self, fabric: Fabric, step: int, terms: Mapping[str, Tensor], weights: Mapping[str, float]
    ) -> None:
        """Measure if ``step`` is one of ``steps`` and there are several terms, before the backward pass."""
        if step not in self._steps or len(terms) == 1:
            return

        def compare() -> None:
            self._measured.append(compare_terms(terms, weights, self._parameters, average=_average(fabric)))

        fabric.backward(cast(Tensor, _InsteadOfLoss(compare)))

    def row(self) -> dict[str, float]:
        """Columns ``health/share/<term>`` and ``health/cosine/<term>``, if defined in at least one step."""
        if not self._measured:
            return {}
        values = torch.stack([torch.stack(list(step.values())) for step in self._measured])
        defined = values.isfinite()
        total, count = torch.stack([values.where(defined, 0.0).sum(0), defined.sum(0).double()]).tolist()
        names = self._measured[0]
        return {f"health/{name}": a / b for name, a, b in zip(names, total, count, strict=True) if b}


def measured_steps(steps: int, count: int) -> frozenset[int]:
    """The middle steps of ``count`` equal parts of an epoch; all steps if there are fewer."""
    count = min(count, steps)
    return frozenset((2 * part + 1) * steps // (2 * count) for part in range(count))


def keep_compiled_graphs() -> None:
    """Allow graphs that ``torch.compile`` builds later in this process to be differentiated repeatedly.

    By default the backward pass overwrites tensors saved by the forward pass, so it cannot retain the graph.
    """
    torch._functorch.config.donated_buffer = False


def compare_terms(
    terms: Mapping[str, Tensor],
    weights: Mapping[str, float],
    parameters: Sequence[Tensor],
    *,
    average: Callable[[Gradient], Gradient] = lambda gradient: gradient,
) -> dict[str, Tensor]:
    """Compare the gradients of the terms.

    Args:
        terms: Unweighted scalars of one forward pass, including ``ce``; their graph is retained.
        weights: Weight of each term.
        parameters: Parameters with respect to which the terms are differentiated.
        average: Averages a gradient over the ranks.

    Returns:
        Float64 scalars on the parameters' device, NaN if undefined: ``share/<term>``, the norm of the term's
        weighted gradient divided by the sum of these norms; and for all terms except ``ce``
        ``cosine/<term>``, the cosine between the unweighted gradients of the term and of cross-entropy.
    """
    reference = average(_gradient(terms["ce"], parameters))
    norms, products = {}, {}
    for name, value in terms.items():
        gradient = reference if name == "ce" else average(_gradient(value, parameters))
        norms[name] = _dot(gradient, gradient, like=value).sqrt()
        products[name] = _dot(gradient, reference, like=value)
    total = torch.stack([weights[name] * norm for name, norm in norms.items()]).sum()
    shares = {f"share/{name}": weights[name] * norm / total for name, norm in norms.items()}
    cosines = {f"cosine/{name}": products[name] / (norm * norms["ce"]) for name, norm in norms.items()}
    del cosines["cosine/ce"]
    return shares | cosines


def health_warnings(history: Sequence[Mapping[str, float]], *, method: str) -> list[str]:
    """A warning for each term with a negligible or dominant share over a run, with what to do about it.

    Epochs in which the schedule sets a term's weight to 0 do not count as negligible.

    Args:
        history: The run's rows, with ``weight/<term>`` and, if measured, ``health/share/<term>``.
        method: Name of the method's block in params.yaml.
    """
    measured = [row for row in history if "health/share/ce" in row]
    names = [key.removeprefix("health/share/") for key in (measured or [{}])[0] if "health/share/" in key]
    sentences = []
    for term in names:
        share = fmean(row[f"health/share/{term}"] for row in measured)
        active = [row[f"health/share/{term}"] for row in measured if row[f"weight/{term}"] > 0]
        key = f"methods.{method}.weights" + ("" if term == "ce" else f".{term}")
        if term in AUXILIARY or not set(names) - {"ce", *AUXILIARY}:
            key = "train.auxiliary_weight"
        if term != "ce" and active and fmean(active) < NEGLIGIBLE_SHARE:
            sentences.append(_sentence(method, term, "nothing", fmean(active), f"raise {key}"))
        elif share > DOMINANT_SHARE:
            todo = f"raise {key}" if term == "ce" else f"lower {key}"
            sentences.append(_sentence(method, term, "everything", share, todo))
    return sentences


def _sentence(method: str, term: str, verdict: str, share: float, todo: str) -> str:
    return (
        f"{method}: the loss term {term} does {verdict}: its share of the gradients is {in_percent(share)} "
        f"(mean over the run); {todo} in params.yaml, or tune it: python -m pipeline tune"
    )


def _gradient(value: Tensor, parameters: Sequence[Tensor]) -> Gradient:
    """One tensor per parameter; None for a parameter without a gradient, e.g. of a constant term."""
    if not value.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)


def _average(fabric: Fabric) -> Callable[[Gradient], Gradient]:
    def average(gradient: Gradient) -> Gradient:
        present = [part for part in gradient if part is not None]
        if fabric.world_size == 1 or not present:
            return gradient
        flat = cast(Tensor, fabric.all_reduce(torch.cat([part.flatten() for part in present])))
        parts = iter(torch.split(flat, [part.numel() for part in present]))
        return [None if part is None else next(parts).view(part.shape) for part in gradient]

    return average


def _dot(first: Gradient, second: Gradient, *, like: Tensor) -> Tensor:
    """Inner product in float64, without synchronising with the device."""
    pairs = zip(first, second, strict=True)
    products = [(a.double() * b.double()).sum() for a, b in pairs if a is not None and b is not None]
    return torch.stack([like.new_zeros((), dtype=torch.float64), *products]).sum()


@dataclass(frozen=True)
class _InsteadOfLoss:
    """Passed to ``fabric.backward`` in place of a loss: its backward pass is ``measure``.

    Under mixed precision, Fabric does not allow differentiating a module's outputs outside
    ``fabric.backward``, which itself can only accumulate gradients.
    """

    measure: Callable[[], None]

    def backward(self) -> None:
        self.measure()

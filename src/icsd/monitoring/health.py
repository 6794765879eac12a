"""Loss health: how much each loss term moves the student, and whether it pulls with cross-entropy.

A distillation term that does nothing, or drowns all others, makes a comparison of methods meaningless,
and no loss curve shows it: what moves the student is a term's gradient. So on a few steps per epoch each
term is differentiated by itself. Training is not touched: the forward pass is the same, no random number is
drawn and no gradient is accumulated. The trained weights are bit-identical with and without.
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

    The gradients are those of a step's batch, averaged over the ranks. Where they are accumulated, only the
    first parts are measured: these have fewer images than the batch, so their gradients are noisier and the
    cosines nearer to 0.

    Args:
        student: The network whose gradients are compared; adapters of the method do not count.
        steps: The steps of the epoch to measure, from ``measured_steps``.
    """

    def __init__(self, student: nn.Module, steps: frozenset[int]) -> None:
        self._parameters = [parameter for parameter in student.parameters() if parameter.requires_grad]
        self._steps = steps
        self._measured: list[dict[str, Tensor]] = []

    def measure(
        self, fabric: Fabric, step: int, terms: Mapping[str, Tensor], weights: Mapping[str, float]
    ) -> None:
        """Measure if ``step`` is one of the steps and there is distillation; before the backward pass."""
        if step not in self._steps or len(terms) == 1:
            return

        def compare() -> None:
            self._measured.append(compare_terms(terms, weights, self._parameters, average=_average(fabric)))

        fabric.backward(cast(Tensor, _InsteadOfLoss(compare)))

    def row(self) -> dict[str, float]:
        """Columns ``health/share/<term>`` and ``health/cosine/<term>``, of those that were ever defined."""
        if not self._measured:
            return {}
        values = torch.stack([torch.stack(list(step.values())) for step in self._measured])
        defined = values.isfinite()
        total, count = torch.stack([values.where(defined, 0.0).sum(0), defined.sum(0).double()]).tolist()
        names = self._measured[0]
        return {f"health/{name}": a / b for name, a, b in zip(names, total, count, strict=True) if b}


def measured_steps(steps: int, count: int) -> frozenset[int]:
    """``count`` of an epoch's steps: the middles of as many equal parts; all steps where there are fewer."""
    count = min(count, steps)
    return frozenset((2 * part + 1) * steps // (2 * count) for part in range(count))


def keep_compiled_graphs() -> None:
    """Let graphs that ``torch.compile`` builds from now on in this process be differentiated more than once.

    Otherwise the backward pass overwrites what the forward pass has saved, and refuses to keep the graph.
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
        terms: Unweighted scalars of one forward pass, ``ce`` among them; their graph is kept.
        weights: Of each term.
        parameters: Whose gradients.
        average: Gives the mean over the ranks.

    Returns:
        Float64 scalars on the parameters' device, NaN where not defined: ``share/<term>``, the norm of the
        term's weighted gradient divided by the sum of these norms; and for all terms but ``ce``
        ``cosine/<term>``, between the term's gradient and that of cross-entropy, whatever their weights.
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
    """A sentence for each term that did nothing or everything over a run, with what to do about it.

    Epochs in which a term's weight is 0 by schedule do not count against it.

    Args:
        history: The run's rows, with ``weight/<term>`` and, in the measured ones, ``health/share/<term>``.
        method: The name of its block in params.yaml.
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
    """One tensor per parameter; None where there is no gradient, as for a term that is constant."""
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
    """Inner product in float64, without waiting for the device."""
    pairs = zip(first, second, strict=True)
    products = [(a.double() * b.double()).sum() for a, b in pairs if a is not None and b is not None]
    return torch.stack([like.new_zeros((), dtype=torch.float64), *products]).sum()


@dataclass(frozen=True)
class _InsteadOfLoss:
    """Passed to ``fabric.backward`` in place of a loss: its backward pass is ``measure``.

    Under mixed precision, Fabric refuses to differentiate a module's outputs outside ``fabric.backward``,
    which itself can only accumulate gradients.
    """

    measure: Callable[[], None]

    def backward(self) -> None:
        self.measure()

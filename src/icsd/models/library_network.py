"""A wrapper that gives a network of another library, or a user's own, this project's interface."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.core.logits import upsample
from icsd.errors import UserError, some
from icsd.models.contract import Architecture, Network, renormalise
from icsd.models.names import TAPS

Run = Callable[[nn.Module, Tensor], dict[str, Tensor]]
"""Takes the library's network and its images, and returns the maps that the network's output contains."""
PROBES = (128, 512)
"""Side length in pixels of the images used to find the widths of the taps; the second if the first fails."""


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A network as its library builds it, and how to use it.

    Attributes:
        module: The network.
        run: See ``Run``.
        multiple: Height and width of images must be multiples of this.
        taps: For maps that ``run`` does not return: maps taps to the paths of the modules whose output they
            are.
        backbone: The modules that train at the backbone's learning rate.
    """

    module: nn.Module
    run: Run
    multiple: int = 1
    taps: Mapping[str, str] = field(default_factory=dict)
    backbone: tuple[str, ...] = ()


class LibraryNetwork(Network):
    """A network that wraps ``inner`` and handles its image sizes and normalisation.

    If the network cannot take an image's size, the image is padded with the mean colour at the bottom and
    right, and the maps are cropped back. The logits are upsampled before, so that they align with the image.

    Args:
        architecture: What it is built from.
        inner: The network of the library.

    Raises:
        UserError: A tap names no module, or a module whose output is not a map.
    """

    inner_prefix = "network."

    def __init__(self, architecture: Architecture, inner: Inner) -> None:
        super().__init__()
        self.architecture = architecture
        self.network = inner.module
        self.normalise = renormalise(architecture.normalisation)
        self.run, self.multiple = inner.run, inner.multiple
        self.paths = {**inner.taps, **(architecture.taps or {})}
        self.backbone_prefixes = tuple(f"{self.inner_prefix}{part}." for part in inner.backbone)
        _check_paths(inner.module, self.paths)
        self.channels = self._widths()

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Tensor]:
        """The available taps of a batch of normalised images."""
        size = images.shape[-2:]
        padded, is_padded = self._padded(self.normalise(images))
        with _outputs_of(self.network, self.paths) as seen:
            found = self.run(self.network, padded)
        maps = found | seen
        taps = {name: maps[name] for name in TAPS if name in maps}
        return _cropped(taps, padded.shape[-2:], size) if is_padded else taps

    def _padded(self, images: Tensor) -> tuple[Tensor, bool]:
        height, width = images.shape[-2:]
        exporting = torch.compiler.is_exporting()  # images have any size, so nothing may depend on it
        if self.multiple == 1 or not (exporting or height % self.multiple or width % self.multiple):
            return images, False
        return F.pad(images, [0, -width % self.multiple, 0, -height % self.multiple]), True

    def _widths(self) -> dict[str, int]:
        was_training = self.training
        self.eval()
        try:
            taps = self._probed(PROBES[0])
        except RuntimeError:  # the image is too small for some pyramids
            taps = self._probed(PROBES[1])
        self.train(was_training)
        classes = self.architecture.num_classes
        if "logits" not in taps or taps["logits"].shape[1] != classes:
            found = f"{taps['logits'].shape[1]} channels" if "logits" in taps else "none"
            raise UserError(f"the logits must have {classes} channels, one per class; there are {found}")
        return {name: value.shape[1] for name, value in taps.items()}

    @torch.no_grad()
    def _probed(self, side: int) -> dict[str, Tensor]:
        taps: dict[str, Tensor] = self(
            torch.zeros(1, 3, side, side, device=next(self.network.parameters()).device)
        )
        return taps


def as_map(value: object, where: str) -> Tensor:
    """An output as a map [B, C, h, w]; the first one if it is a tuple or list.

    Raises:
        UserError: It is not a map.
    """
    first = value[0] if isinstance(value, tuple | list) and value else value
    if not isinstance(first, Tensor) or first.ndim != 4:
        shape = f"shape {list(first.shape)}" if isinstance(first, Tensor) else type(first).__name__
        raise UserError(f"{where} gives no map of shape [batch, channels, height, width], but {shape}")
    return first


def _check_paths(module: nn.Module, paths: Mapping[str, str]) -> None:
    known = [name for name, _ in module.named_modules() if name]
    for tap, path in paths.items():
        if path not in known:
            top = [name for name, _ in module.named_children()]
            parent = path.rpartition(".")[0]
            near = [name for name in known if name.rpartition(".")[0] == parent] if parent in known else top
            raise UserError(f"taps.{tap}: there is no module {path!r}; there is {some(near, len(near))}")


@contextmanager
def _outputs_of(module: nn.Module, paths: Mapping[str, str]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of the taps' modules while ``module`` runs in the ``with`` block."""
    seen: dict[str, Tensor] = {}

    def keep(tap: str, path: str, _module: nn.Module, _inputs: object, output: object) -> None:
        seen[tap] = as_map(output, f"taps.{tap}: the module {path}")

    # Hooks last for one call: a permanent one would be copied with the module and fill the original's maps.
    handles = [
        module.get_submodule(path).register_forward_hook(partial(keep, tap, path))
        for tap, path in paths.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _cropped(taps: dict[str, Tensor], padded: torch.Size, size: torch.Size) -> dict[str, Tensor]:
    """The maps of a padded image, cropped to the image itself."""
    logits = upsample(taps["logits"], padded)[..., : size[0], : size[1]]
    if torch.compiler.is_exporting():  # an exported network returns logits only
        return {"logits": logits}
    cropped = {}
    for name, value in taps.items():
        rows, columns = (
            -(-side * cells // whole)
            for side, cells, whole in zip(size, value.shape[-2:], padded, strict=True)
        )
        cropped[name] = value[..., :rows, :columns]
    return cropped | {"logits": logits}

"""FitNets.

Romero, Ballas, Kahou, Chassang, Gatta, Bengio: FitNets, Hints for Thin Deep Nets, ICLR 2015, arXiv 1412.6550.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from jaxtyping import Integer
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.core.similarity import full_precision
from icsd.methods.base import Method, Taps, Terms

Tap = Literal["stage1", "stage2", "stage3", "stage4", "aspp", "decoder"]


class FitNet(Method):
    """The student's feature map, mapped by a regressor, equals the teacher's.

    ``fitnet`` = mean over images, channels and positions of (conv1x1(S) − T)².

    The paper first trains the student's lower half on this loss alone, and halves the square. This class
    implements the baseline of segmentation papers (CIRKD's code): one joint training, no factor, a bias-free
    1x1 regressor even if the widths agree, and the map after the pyramid. Features are taken as tapped:
    ``aspp`` after its ReLU, the others before it. All positions count.

    Published weight (CIRKD): 10, alongside pixel-wise KD at 1; both are means there as here.

    Args:
        student_channels: Width of every tap of the student.
        teacher_channels: Width of every tap of the teacher.
        tap: The map that is compared.
    """

    taps: tuple[str, ...] = ("aspp",)
    terms: tuple[str, ...] = ("fitnet",)
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"fitnet": 10.0, "kd": 1.0})

    def __init__(
        self, *, student_channels: dict[str, int], teacher_channels: dict[str, int], tap: Tap = "aspp"
    ) -> None:
        super().__init__()
        self.taps = (tap,)
        self.regressor = nn.Conv2d(student_channels[tap], teacher_channels[tap], kernel_size=1, bias=False)

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``fitnet``: the mean squared difference; ``labels`` are not used."""
        (tap,) = self.taps
        with full_precision(student[tap], teacher[tap].detach()) as (s, t):
            return {"fitnet": F.mse_loss(self.regressor(s), t)}

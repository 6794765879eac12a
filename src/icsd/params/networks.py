"""The block ``networks``: what teacher and students are, and what they start from."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from icsd.models.names import DEEPLAB, checked_architecture, checked_backbone
from icsd.params.block import Block, Name

Architecture = Annotated[str, AfterValidator(checked_architecture)]
Backbone = Annotated[str, AfterValidator(checked_backbone)]
Channel = Annotated[int, Field(ge=0, lt=100_000)]
"""Of a network's logits, from 0."""
Width = Annotated[float, Field(ge=0.01, le=2)]
Tap = Literal["stage1", "stage2", "stage3", "stage4", "aspp", "decoder"]


class Normalisation(Block):
    """What a network expects its images to be normalised with, for pixel values in [0, 1]."""

    mean: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=3, max_length=3)]
    std: Annotated[list[Annotated[float, Field(ge=0.001, le=1)]], Field(min_length=3, max_length=3)]


class Network(Block):
    """A network; what is None has the value of all networks, or that of its library.

    Attributes:
        architecture: DeepLabV3+, or a network of a library; see ``icsd.models.names``.
        backbone: Of DeepLabV3+; None for the student's name.
        width: Factor on the channel counts of DeepLabV3+; 1.0 is the published network.
        head_width: Factor on those of its head; None for ``width``.
        pretrained: What it starts from; None for that of all networks.
        normalisation: What it expects; None for ImageNet's mean and standard deviation.
        output_stride: Of its deepest map; None for that of all networks.
        taps: Tap -> path of a module in a library's network, where the network needs to be told.
        weights: What the whole network starts from, instead of ``pretrained``: a file, or
            ``models:/name/version`` of MLflow's registry; None for nothing.
        load: How ``weights`` must fit: as they are; below wrappings and prefixes; or only in part.
    """

    architecture: Architecture | None = None
    backbone: Backbone | None = None
    width: Width = 1.0
    head_width: Width | None = None
    pretrained: bool | str | None = None
    normalisation: Normalisation | None = None
    output_stride: Literal[8, 16, 32] | None = None
    taps: Annotated[dict[Tap, str], Field(min_length=1)] | None = None
    weights: str | None = None
    load: Literal["strict", "unwrap", "partial"] = "strict"

    @property
    def library_name(self) -> str | None:
        """The architecture where it is that of a library; None for DeepLabV3+."""
        return None if self.architecture in (None, DEEPLAB) else self.architecture


class TeacherNetwork(Network):
    """The teacher, which has no name that could be its backbone.

    Attributes:
        backbone: Its name.
        classes: The dataset's class -> the channels of ``weights`` that stand for it; None where the two are
            the same, in the same order.
    """

    backbone: Backbone
    classes: dict[str, Channel | Annotated[list[Channel], Field(min_length=1)]] | None = None

    @model_validator(mode="after")
    def _a_channel_is_one_class(self) -> "TeacherNetwork":
        channels = [channel for name in self.classes or {} for channel in self.channels_of(name)]
        if repeated := sorted({channel for channel in channels if channels.count(channel) > 1}):
            raise ValueError(f"classes: {', '.join(map(str, repeated))} stands for more than one class")
        return self

    def channels_of(self, name: str) -> tuple[int, ...]:
        """The channels that ``classes`` gives a class."""
        channels = (self.classes or {})[name]
        return (channels,) if isinstance(channels, int) else tuple(channels)


class Networks(Block):
    """The teacher and the students, which have any names."""

    output_stride: Literal[8, 16]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    pretrained: bool | str
    teacher: TeacherNetwork
    students: dict[Name, Network]

    def start_of(self, network: Network) -> bool | str:
        """The ``pretrained`` of a network: its own, or that of all networks."""
        return self.pretrained if network.pretrained is None else network.pretrained

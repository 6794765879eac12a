"""The block ``networks``: architectures of teacher and students, and their initial weights."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from icsd.models.names import DEEPLAB, checked_architecture, checked_backbone
from icsd.params.block import Block, Name

Architecture = Annotated[str, AfterValidator(checked_architecture)]
Backbone = Annotated[str, AfterValidator(checked_backbone)]
Channel = Annotated[int, Field(ge=0, lt=100_000)]
"""Index of a channel of a network's logits, from 0."""
Width = Annotated[float, Field(ge=0.01, le=2)]
Tap = Literal["stage1", "stage2", "stage3", "stage4", "aspp", "decoder"]


class Normalisation(Block):
    """The normalisation of images that a network expects, for pixel values in [0, 1]."""

    mean: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=3, max_length=3)]
    std: Annotated[list[Annotated[float, Field(ge=0.001, le=1)]], Field(min_length=3, max_length=3)]


class Network(Block):
    """A network. A key that is None takes the value of the block ``networks``, or its library's default.

    Attributes:
        architecture: DeepLabV3+, or a network of a library; see ``icsd.models.names``.
        backbone: Backbone of DeepLabV3+; None for the student's name.
        width: Factor on the channel counts of DeepLabV3+; 1.0 is the published network.
        head_width: Factor on the channel counts of its head; None for ``width``.
        pretrained: Its initial weights; None for ``networks.pretrained``.
        normalisation: The normalisation it expects; None for ImageNet's mean and standard deviation.
        output_stride: Stride of its deepest map; None for ``networks.output_stride``.
        taps: Maps taps to paths of modules in a library's network, if they are not known otherwise.
        weights: Initial weights of the whole network instead of ``pretrained``: a file, or
            ``models:/name/version`` in MLflow's registry; None for none.
        load: How ``weights`` must fit: exactly, after removing wrappings and prefixes, or only in part.
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
        """The architecture if it is a library's; None for DeepLabV3+."""
        return None if self.architecture in (None, DEEPLAB) else self.architecture


class TeacherNetwork(Network):
    """The teacher, which has no name from which to take its backbone.

    Attributes:
        backbone: Name of the backbone.
        classes: Maps each class of the dataset to the channels of ``weights`` that represent it; None if
            the classes are the same, in the same order.
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
        """The channels that represent a class according to ``classes``."""
        channels = (self.classes or {})[name]
        return (channels,) if isinstance(channels, int) else tuple(channels)


class Networks(Block):
    """The teacher and the students, with their common settings; students can have any names."""

    output_stride: Literal[8, 16]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    pretrained: bool | str
    teacher: TeacherNetwork
    students: dict[Name, Network]

    def start_of(self, network: Network) -> bool | str:
        """The ``pretrained`` of a network: its own, or the common one."""
        return self.pretrained if network.pretrained is None else network.pretrained

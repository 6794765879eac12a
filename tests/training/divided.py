"""A tiny student and its teacher, trained on a batch that is divided in different ways."""

import copy
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from icsd.data.loaders import TrainBatches
from icsd.methods import METHODS, build_method
from icsd.models.divided import share_dropout, synchronise_batchnorm
from icsd.monitoring.monitor import StudentMonitor
from icsd.training.distiller import Distiller
from icsd.training.loop import Progress, Schedule, fit
from icsd.training.optim import build_optimizer

SMALL = {"mgd": 1e-3, "overhaul": 1e-3}
"""Weights of sums, with which a training does not diverge."""
CLASSES, SIDE, IMAGES, BATCH = 5, 16, 16, 8


class Net(nn.Module):
    """A network with all taps, optional BatchNorm, and dropout."""

    def __init__(self, width, *, seed, norm):
        super().__init__()
        torch.manual_seed(seed)
        self.channels = dict.fromkeys(("stage1", "stage2", "stage3", "stage4", "aspp", "decoder"), width)
        self.channels["logits"] = CLASSES
        conv = partial(nn.Conv2d, kernel_size=3, padding=1, bias=not norm)
        self.backbone = nn.ModuleList([conv(3, width, stride=2), *(conv(width, width) for _ in range(3))])
        self.norms = nn.ModuleList([nn.BatchNorm2d(width) if norm else nn.Identity() for _ in range(4)])
        self.aspp, self.decoder = conv(width, width, stride=2), conv(width, width)
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Conv2d(width, CLASSES, 1)
        nn.init.normal_(self.classifier.weight)  # logits far from uniform, whose gradients are well defined

    def forward(self, images):
        taps, x = {}, images
        for index, (conv, norm) in enumerate(zip(self.backbone, self.norms, strict=True)):
            taps[f"stage{index + 1}"] = norm(conv(F.relu(x) if index else x))
            x = taps[f"stage{index + 1}"]
        taps["aspp"] = F.relu(self.aspp(F.relu(x)))
        taps["decoder"] = self.decoder(F.interpolate(self.dropout(taps["aspp"]), x.shape[-2:]))
        taps["logits"] = self.classifier(F.relu(taps["decoder"]))
        return taps


class Images:
    """Images with increasing numbers of ignored pixels: no two parts of a batch have as many valid ones."""

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        return index, index


def view(index, _, *, seed):
    generator = torch.Generator().manual_seed(index)
    image = torch.randn(3, SIDE, SIDE, generator=generator)
    label = torch.randint(0, CLASSES, (SIDE, SIDE), generator=generator)
    label[: index if index < SIDE - 1 else SIDE] = 255
    return image, label


def train(
    fabric, name, parts=1, *, lr=0.01, options=None, norm=True, auxiliary=None, clip=0.0, epochs=2, saved=None
):
    """Train with a method; return the student's weights, the history, and the state for resuming."""
    student, teacher = Net(6, seed=0, norm=norm), Net(8, seed=1, norm=norm)
    method_class = METHODS[name]
    method = None
    if method_class is not None:
        block = {"alw": False, "weights": dict.fromkeys(method_class.terms, 1.0), **(options or {})}
        channels = {"student_channels": student.channels, "teacher_channels": teacher.channels}
        torch.manual_seed(2)
        method = build_method(name, block, **channels, num_classes=CLASSES)
        if not norm:
            without_norm(method)
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    distiller = Distiller(
        student,
        teacher=teacher if method is not None else None,
        method=method,
        class_weights=weights if auxiliary else None,
        auxiliary=auxiliary,
    )
    if fabric.world_size > 1:
        synchronise_batchnorm(distiller, fabric.device)
    if fabric.world_size * parts > 1:
        share_dropout(distiller)
    rates = {"lr": lr, "head_lr_factor": 1.0, "momentum": 0.9, "weight_decay": 0.0}
    optimizer = build_optimizer(student, method, name="sgd", nesterov=False, **rates)
    module, wrapped = fabric.setup(distiller, optimizer)
    progress = Progress()
    if saved is not None:
        saved = copy.deepcopy(saved)  # tensors from another process lie in memory that all of them share
        distiller.load_state_dict(saved["distiller"])
        optimizer.load_state_dict(saved["optimizer"])
        progress = Progress(**saved["progress"])
    place = {"rank": fabric.global_rank, "world": fabric.world_size, "micro_batches": parts}
    batches = TrainBatches(Images(), view, batch=BATCH, seed=3, **place)
    terms = distiller.terms
    states = []

    def on_epoch(progress):
        state = {"distiller": distiller.state_dict(), "optimizer": optimizer.state_dict()}
        states.append(copy.deepcopy({**state, "progress": vars(progress)}))

    fit(
        fabric,
        module,
        wrapped,
        progress,
        student=student,
        schedule=Schedule(
            epochs=epochs,
            steps=batches.steps_per_epoch,
            micro_batches=parts,
            lr=lr,
            poly_power=0.0,
            warmup=0.0,
            clip_norm=clip,
            validate_every=1,
            select="last",
            seed=4,
        ),
        batches=batches.epoch,
        weights=lambda epoch: {term: SMALL.get(term, 1.0) for term in terms},
        validate=None,
        monitor=StudentMonitor(student, epochs=epochs, steps=batches.steps_per_epoch, health_steps=1),
        on_epoch=on_epoch,
    )
    return {
        "weights": {key: value.numpy() for key, value in distiller.state_dict().items()},
        "history": progress.history,
        "state": states[0],
    }


def without_norm(module):
    """Remove BatchNorm, whose statistics over a part of a batch differ from those over all of it."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        else:
            without_norm(child)

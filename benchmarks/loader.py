"""Training views per second and core: prepared shards compared with PIL and torchvision on files.

Both give normalised crops with labels: scale, crop, flip, a blur in half of the views, brightness, contrast
and saturation. The images are CamVid's if ICSD_DATASETS names a folder with its archive, otherwise generated.
"""

import io
import os
import random
import tarfile
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measuring import asked_for_quick, interleaved, section
from PIL import Image, ImageFilter
from torchvision import transforms
from torchvision.transforms import functional

from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD
from icsd.data.manifest import write_manifest
from icsd.data.shards import ShardedSplit, write_shards
from icsd.data.transforms import augment

Pair = tuple[Image.Image, Image.Image]
SIZES = {"CamVid": ((480, 360), 360), "Cityscapes": ((2048, 1024), 513), "default": ((64, 64), 64)}
QUICK = {"CamVid": ((48, 36), 36)}
STRENGTHS = {
    "scale, crop, flip": (0.0, 0.0),
    "and blur": (0.5, 0.0),
    "and colour": (0.0, 0.2),
    "all": (0.5, 0.2),
}
SCALE = (0.5, 2.0)
JITTER = transforms.ColorJitter(0.2, 0.2, 0.2)


def main() -> None:
    """Measure and print the section."""
    quick = asked_for_quick()
    torch.set_num_threads(1)
    rows: list[list[object]] = []
    for name, (size, crop) in (QUICK if quick else SIZES).items():
        rows += measured(name, size, crop, images=3 if quick else 16, rounds=1 if quick else 7)
    print(
        section(
            "Loading training images",
            "Augmented images per second on one core: `augment` on shards, against Pillow and torchvision "
            "transforms on PNG files, which have to be decoded first. The floor only reads the image and "
            "writes its crop as float32.",
            ["images, augmentation", "shards, images/s", "files, images/s", "ratio", "floor, images/s"],
            rows,
        )
    )


def measured(name: str, size: tuple[int, int], crop: int, *, images: int, rounds: int) -> list[list[object]]:
    """A row per strength of augmentation."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files, records = [], []
        for number, (image, labels) in enumerate(pictures(size, images)):
            pair = folder / f"{number}.png", folder / f"{number}-label.png"
            image.save(pair[0])
            labels.save(pair[1])
            files.append(pair)
            records.append((str(number), np.array(image), np.array(labels)))
        manifest = write_shards(folder, "train", records, num_classes=12)
        write_manifest(folder, name, [str(number) for number in range(12)], {"train": manifest})
        split = ShardedSplit(folder, "train")
        calls = {"floor": partial(floor, split, crop)}
        for strength, (blur, colour) in STRENGTHS.items():
            calls[f"shards, {strength}"] = partial(from_shards, split, crop, blur, colour)
            calls[f"files, {strength}"] = partial(from_files, files, crop, blur, colour)
        seconds = interleaved(calls, rounds=rounds)
    label = f"{name}, {size[0]}×{size[1]} to {crop}"
    rate = {call: images / value for call, value in seconds.items()}
    return [
        [
            f"{label}: {strength}",
            f"{rate[f'shards, {strength}']:.0f}",
            f"{rate[f'files, {strength}']:.0f}",
            f"{rate[f'shards, {strength}'] / rate[f'files, {strength}']:.1f}×",
            f"{rate['floor']:.0f}",
        ]
        for strength in STRENGTHS
    ]


def from_shards(split: ShardedSplit, crop: int, blur: float, colour: float) -> None:
    """A view of every image as in training; the same views in every round."""
    for index in range(len(split)):
        augment(*split[index], seed=index, crop=(crop, crop), scale=SCALE, blur=blur, colour=colour)


def from_files(files: list[tuple[Path, Path]], crop: int, blur: float, colour: float) -> None:
    """Similar views by the libraries that most training code uses."""
    rng = random.Random(0)  # noqa: S311 - no secret
    for image_path, label_path in files:
        opened = Image.open(image_path).convert("RGB"), Image.open(label_path)
        image, label = scaled_and_cropped(*opened, crop, rng)
        if rng.random() < 0.5:
            image, label = functional.hflip(image), functional.hflip(label)
        if rng.random() < blur:
            image = image.filter(ImageFilter.GaussianBlur(radius=rng.random()))
        if colour:
            image = JITTER(image)
        functional.normalize(functional.to_tensor(image), IMAGENET_MEAN, IMAGENET_STD)
        torch.from_numpy(np.array(label)).long()


def scaled_and_cropped(image: Image.Image, label: Image.Image, crop: int, rng: random.Random) -> Pair:
    """A random scale, then a random crop, padded if the image is smaller."""
    factor = rng.uniform(*SCALE)
    size = (round(image.width * factor), round(image.height * factor))
    image = image.resize(size, Image.Resampling.BILINEAR)
    label = label.resize(size, Image.Resampling.NEAREST)
    if min(size) < crop:
        padding = [0, 0, max(0, crop - size[0]), max(0, crop - size[1])]
        image, label = functional.pad(image, padding), functional.pad(label, padding, fill=255)
    left, top = rng.randint(0, image.width - crop), rng.randint(0, image.height - crop)
    box = (left, top, left + crop, top + crop)
    return image.crop(box), label.crop(box)


def floor(split: ShardedSplit, crop: int) -> None:
    """The work that no loader can avoid."""
    for index in range(len(split)):
        split[index]
        torch.empty(3, crop, crop).fill_(0.5)
        torch.empty(crop, crop, dtype=torch.int64).fill_(1)


def pictures(size: tuple[int, int], number: int) -> Iterator[Pair]:
    """CamVid's first images, or smooth noise without it, at a given size."""
    archive = Path(os.environ.get("ICSD_DATASETS", ".")) / "camvid-jpeg90.tar"
    source = from_archive(archive, number) if archive.is_file() else generated(number)
    for image, label in source:
        yield image.resize(size, Image.Resampling.BICUBIC), label.resize(size, Image.Resampling.NEAREST)


def from_archive(archive: Path, number: int) -> Iterator[Pair]:
    """Images and label maps of the archive's training split."""
    with tarfile.open(archive) as tar:
        names = sorted(name for name in tar.getnames() if "/train/" in name and name.endswith(".jpg"))
        for name in names[:: len(names) // number][:number]:
            both = name, name.replace("/train/", "/trainannot/").replace(".jpg", ".png")
            image, label = (Image.open(io.BytesIO(tar.extractfile(each).read())) for each in both)  # type: ignore[union-attr]
            yield image.convert("RGB"), label.convert("L")


def generated(number: int) -> Iterator[Pair]:
    """Images that PNG compresses as little as photographs."""
    rng = np.random.default_rng(0)
    for _ in range(number):
        image = Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8))
        label = Image.fromarray(rng.integers(0, 12, (45, 60), dtype=np.uint8))
        yield image.resize((480, 360), Image.Resampling.BICUBIC), label


if __name__ == "__main__":
    main()

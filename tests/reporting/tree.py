"""A made-up grid of result files."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from icsd.reporting.reading import load_results
from icsd.reporting.results import Results

CLASSES = ("sky", "road", "tree", "car", "person", "pole", "sign", "fence", "bike")
PALETTE = np.random.default_rng(0).integers(40, 250, (len(CLASSES), 3)).astype(np.uint8)
METHODS = ("none", "aicsd")
NUM_IMAGES = 12


@dataclass
class Tree:
    """Writes the result files of a made-up grid, as the stages do."""

    root: Path
    dataset: str = "shapes"
    methods: tuple[str, ...] = METHODS
    students: tuple[str, ...] = ("resnet18",)
    seeds: tuple[int, ...] = (0, 1)
    num_images: int = NUM_IMAGES
    classes: tuple[str, ...] = CLASSES
    epochs: int = 6
    size: int = 24
    quality: dict[str, float] = field(default_factory=lambda: {"teacher": 0.85, "none": 0.6, "aicsd": 0.68})
    blocks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Method -> its block of params.yaml, where more of it is recorded than whether it runs under ALW."""
    noise: float = 0.006
    teacher: str = "resnet50"
    width: float = 0.25

    def load(self) -> Results:
        return load_results(
            self.root, dataset=self.dataset, methods=self.methods, students=self.students, seeds=self.seeds
        )

    def write(self) -> "Tree":
        self.write_run("teacher", None, 0)
        for method in self.methods:
            for student in self.students:
                for seed in self.seeds:
                    self.write_run(method, student, seed)
        return self

    def folder(self, kind: str, method: str, student: str | None, seed: int) -> Path:
        base = self.root / kind / self.dataset / method
        return base if student is None else base / f"{student}-{seed}"

    def write_run(self, method: str, student: str | None, seed: int) -> None:
        draws = np.random.default_rng([hash_of(method, seed), len(student or "")])
        results, runs = (self.folder(kind, method, student, seed) for kind in ("results", "runs"))
        confusion = self.confusion(method, seed, draws)
        self.write_results(results, method, student, seed, confusion, draws)
        self.write_training(runs, method, student, seed, draws)
        cost = self.folder("costs", method, student, seed)
        write_json(cost.with_name(cost.name + ".json"), self.cost(method, student, seed))

    def confusion(self, method: str, seed: int, draws: np.random.Generator) -> np.ndarray:
        num_classes = len(self.classes)
        share = np.clip(self.quality[method] + draws.normal(0, self.noise), 0, 1)
        pixels = np.random.default_rng(7).integers(50, 400, (self.num_images, num_classes))
        hits = np.random.default_rng([3, seed]).binomial(pixels, share)
        confusion = np.zeros((self.num_images, num_classes, num_classes), dtype=np.int64)
        index = np.arange(num_classes)
        confusion[:, index, index] = hits
        confusion[:, index, (index + 1) % num_classes] = pixels - hits
        return confusion

    def write_results(
        self,
        folder: Path,
        method: str,
        student: str | None,
        seed: int,
        confusion: np.ndarray,
        draws: np.random.Generator,
    ) -> None:
        folder.mkdir(parents=True)
        total = confusion.sum(axis=0)
        hits, truth, predicted = np.diagonal(total), total.sum(axis=1), total.sum(axis=0)
        iou = hits / (truth + predicted - hits)
        metrics = {
            "schema": 1,
            "dataset": self.dataset,
            "method": method,
            "student": student or "resnet50",
            "seed": seed,
            "split": "test",
            "num_images": self.num_images,
            "classes": list(self.classes),
            "miou": float(iou.mean()),
            "pixel_accuracy": float(hits.sum() / total.sum()),
            "class_accuracy": float((hits / truth).mean()),
            "iou_per_class": [float(value) for value in iou],
            "absent_classes": [],
            "agreement": None if student is None else {"pixels": 0.9, "kl": 0.12, "ics_distance": 0.4},
            "parameters": 1_234_567,
            "flops": 123_456_789,
            "flops_input": [3, 96, 96],
            "weights_sha256": f"{abs(hash_of(method, seed)):064x}",
            "teacher_sha256": None if student is None else "0" * 64,
        }
        write_json(folder / "metrics.json", metrics)
        ids = np.array([f"{index:04d}" for index in range(self.num_images)])
        np.savez(folder / "confusion.npz", confusion=confusion, ids=ids)
        num_classes = len(self.classes)
        teacher = np.random.default_rng(5).gamma(2.0, 1.5, (num_classes, num_classes))
        np.fill_diagonal(teacher, 0)
        own = np.abs(teacher + draws.normal(0, 1.5 * (1 - self.quality[method]), teacher.shape))
        np.fill_diagonal(own, 0)
        if student is None:
            np.savez(folder / "ics.npz", teacher=teacher)
        else:
            np.savez(folder / "ics.npz", student=own, teacher=teacher)
        panels: dict[str, Any] = self.panels(method, ids, draws)
        np.savez(folder / "panels.npz", **panels)

    def panels(self, method: str, ids: np.ndarray, draws: np.random.Generator) -> dict[str, np.ndarray]:
        fixed = np.random.default_rng(9)
        rows, columns = np.mgrid[: self.size, : self.size]
        labels = np.zeros((3, self.size, self.size), dtype=np.uint8)
        for picture in labels:
            for index in range(1, len(self.classes)):
                centre, radius = (
                    fixed.integers(0, self.size, 2),
                    fixed.integers(self.size // 10, self.size // 4),
                )
                picture[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2] = index
            picture[:, : self.size // 8] = 255
        predictions = np.where(labels == 255, 0, labels)
        wrong = draws.random(labels.shape) > self.quality[method]
        predictions = np.where(wrong, draws.integers(0, len(self.classes), labels.shape), predictions)
        shades = np.concatenate([PALETTE, np.zeros((256 - len(PALETTE), 3), np.uint8)])[labels]
        images = np.clip(shades * 0.7 + fixed.integers(0, 60, shades.shape), 0, 255).astype(np.uint8)
        return {
            "ids": ids[:3],
            "images": images,
            "labels": labels,
            "predictions": predictions.astype(np.uint8),
        }

    def write_training(
        self, folder: Path, method: str, student: str | None, seed: int, draws: np.random.Generator
    ) -> None:
        folder.mkdir(parents=True)
        train: dict[str, Any] = {
            "schema": 2,
            "kind": "teacher" if student is None else "student",
            "dataset": self.dataset,
            "method": method,
            "network": {"backbone": student or self.teacher, "width": self.width, "output_stride": 16},
            "seed": seed,
            "pretrained": False,
            "epochs": self.epochs,
            "batch": 8,
            "crop": [96, 96],
            "num_train_images": 480,
            "num_validation_images": 80,
            "selected": "last",
            "selected_epoch": self.epochs,
            "diverged": None,
            "weights_source": "set by hand",
            "provenance": {"code": {}, "data": "0" * 64, "teacher": None, "pretrained": None},
            "params": {
                "train": {"lr": 0.05, "momentum": 0.9},
                "method": self.blocks.get(method, {"alw": method == "aicsd"}),
            },
        }
        if self.blocks.get(method, {}).get("alw"):
            train["params"]["alw"] = {"decay": "linear", "scope": "paper", "power": 2.0}
        write_json(folder / "train.json", train)
        history = self.history(method, draws)
        if student is not None:
            history["similarity/distance"] = self.write_similarity(folder, method)[1:]
        history.to_csv(folder / "history.csv", index=False)

    def write_similarity(self, folder: Path, method: str) -> np.ndarray:
        """The student's matrix comes closer to the teacher's with every epoch; returns the distances."""
        num_classes = len(self.classes)
        teacher = np.random.default_rng(5).gamma(2.0, 1.5, (num_classes, num_classes))
        np.fill_diagonal(teacher, 0)
        left = np.linspace(1, 1 - self.quality[method], self.epochs + 1)
        student = teacher * (1 + left[:, None, None])
        distance: np.ndarray = ((student - teacher) ** 2).mean(axis=(1, 2))
        np.savez(
            folder / "similarity.npz",
            epochs=np.arange(self.epochs + 1),
            student=student.astype(np.float32),
            teacher=teacher.astype(np.float32),
            distance=distance,
            ids=np.array(["a", "b"]),
        )
        return distance

    def history(self, method: str, draws: np.random.Generator) -> pd.DataFrame:
        epochs = np.arange(1, self.epochs + 1)
        done = epochs / self.epochs
        alpha = (epochs - 1) / self.epochs
        falling = np.exp(-2.5 * done) * (1 + draws.normal(0, 0.05, self.epochs))
        miou = self.quality[method] * (1 - np.exp(-4 * done)) + draws.normal(0, 0.01, self.epochs)
        table = {
            "epoch": epochs,
            "lr": 0.05 * (1 - alpha) ** 0.9,
            "loss/total": 2.2 * falling,
            "loss/ce": 2.0 * falling,
            "weight/ce": alpha if "aicsd" in method else np.ones(self.epochs),
        }
        if method not in ("none", "teacher"):
            table["loss/kd"] = 0.8 * falling
            table["weight/kd"] = 1 - alpha if "aicsd" in method else np.ones(self.epochs)
        if "icsd" in method:
            table["loss/icsd"] = 30 * falling**2
            table["weight/icsd"] = 0.1 * alpha if "aicsd" in method else np.full(self.epochs, 0.1)
        table["val/miou"] = np.where(epochs % 2 == 0, miou, np.nan)
        return pd.DataFrame(table)

    def cost(self, method: str, student: str | None, seed: int) -> dict[str, Any]:
        return {
            "seconds_training": 60.0 + seed,
            "seconds_per_epoch": 12.0 if method == "aicsd" else 10.0,
            "processor_seconds": (60.0 + seed) * (1.8 if method == "aicsd" else 2.0),
            "images_per_second": 48.0,
            "peak_memory_mb": 900.5,
            "device": "cpu",
            "machine": "a machine",
            "torch": "2.14",
            "extra_parameters": 0,
            "started": "2026-01-01T00:00:00+00:00",
            "finished": "2026-01-01T00:01:00+00:00",
            "resumed": 0,
            "state": ".state/runs/run",
            "mlflow": {
                "experiment": self.dataset,
                "run_id": f"run-{method}-{student}-{seed}",
                "uri": "sqlite:///x",
            },
            "git": {"commit": "0123456789abcdef", "dirty": False},
        }

    def edit_metrics(self, method: str, student: str | None, seed: int, changes: dict[str, object]) -> Path:
        """Change fields of one run's metrics.json; returns its path."""
        path = self.folder("results", method, student, seed) / "metrics.json"
        write_json(path, json.loads(path.read_text()) | changes)
        return path

    def edit_training(self, method: str, student: str | None, seed: int, changes: dict[str, object]) -> None:
        """Change fields of one run's train.json."""
        path = self.folder("runs", method, student, seed) / "train.json"
        write_json(path, json.loads(path.read_text()) | changes)


def hash_of(method: str, seed: int) -> int:
    return sum(ord(letter) for letter in method) * 1000 + seed


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")

"""The machine's load during training, under the names that MLflow's "System metrics" page expects."""

import sys

import psutil


class SystemSampler:
    """Measures the load once per epoch; the processor's is the mean since the last sample.

    MLflow's own monitor is not used: its thread asks the server before each sample, and ends for good if the
    server does not answer.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        psutil.cpu_percent()

    def sample(self) -> dict[str, float]:
        """Percentages and megabytes (10⁶ bytes)."""
        memory = psutil.virtual_memory()
        values = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / 1e6,
            "system_memory_usage_percentage": memory.percent,
            "process_memory_megabytes": self._process.memory_info().rss / 1e6,
        }
        return {f"system/{name}": float(value) for name, value in (values | _gpu_memory()).items()}


def _gpu_memory() -> dict[str, float]:
    torch = sys.modules.get("torch")  # not imported: a training on a GPU has already loaded it
    if torch is None or not torch.cuda.is_initialized():
        return {}
    device = torch.cuda.current_device()
    free, total = torch.cuda.mem_get_info(device)
    return {
        f"gpu_{device}_memory_usage_megabytes": (total - free) / 1e6,
        f"gpu_{device}_memory_usage_percentage": 100 * (total - free) / total,
    }

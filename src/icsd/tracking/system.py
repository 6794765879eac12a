"""What the machine does while a run trains, under the names that MLflow's "System metrics" page shows."""

import sys

import psutil


class SystemSampler:
    """Measures once per epoch; the processor's load is the mean since the last sample.

    Not by MLflow's own monitor: that is a thread which asks the server before each sample and ends for good
    when the server does not answer.
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
    torch = sys.modules.get("torch")  # looked up, not imported: who trains on a GPU has it loaded
    if torch is None or not torch.cuda.is_initialized():
        return {}
    device = torch.cuda.current_device()
    free, total = torch.cuda.mem_get_info(device)
    return {
        f"gpu_{device}_memory_usage_megabytes": (total - free) / 1e6,
        f"gpu_{device}_memory_usage_percentage": 100 * (total - free) / total,
    }

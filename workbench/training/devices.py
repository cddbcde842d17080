"""The machine that a training runs on: how many processors it may use, and how busy its GPU is."""

from __future__ import annotations

import os
import time

import torch

from workbench.run import Reporter

EVERY_S = 1.0
"""Seconds between two looks at the GPU's utilisation, which the driver averages over about as long."""


def cpus() -> int:
    """Return how many processors this process may use: a container or a batch system may give it fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class GpuMeter:
    """Memory and utilisation of the GPU that a training runs on; nothing on the CPU."""

    def __init__(self, device: torch.device, reporter: Reporter) -> None:
        """Look at ``device``; ``reporter`` hears once why the utilisation cannot be known."""
        self._device, self._reporter = device, reporter
        self._looked = -EVERY_S
        self._utilisation: float | None = None
        self._asks = True

    def figures(self) -> dict[str, float | None]:
        """Return ``gpu_memory_gb``, the most that was allocated so far, in 10^9 bytes, and ``gpu_utilisation``, 0 to 1.

        The utilisation is the share of the last second or so in which any kernel ran, None where it is not known. On
        the CPU there are no figures.
        """
        if self._device.type != "cuda":
            return {}
        if self._asks and time.monotonic() - self._looked >= EVERY_S:
            self._looked = time.monotonic()
            try:
                self._utilisation = torch.cuda.utilization(self._device) / 100
            except (ImportError, RuntimeError, OSError) as error:
                self._asks, self._utilisation = False, None
                line = str(error).strip().partition("\n")[0]
                self._reporter.log(
                    "The GPU's utilisation is not known: it needs nvidia-ml-py, which is pynvml, and the driver's "
                    f"NVML ({line})."
                )
        return {
            "gpu_memory_gb": torch.cuda.max_memory_allocated(self._device) / 1e9,
            "gpu_utilisation": self._utilisation,
        }

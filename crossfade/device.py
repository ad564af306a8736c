"""Which device to run on, and what to call it in a table."""

from pathlib import Path

import torch

from crossfade.errors import UserError


def choose_device(name: str | None = None) -> torch.device:
    """The named device; without a name a GPU where there is one, else the CPU.

    Raises:
        UserError: torch knows no such device, or it is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"the device '{name}' is not there: use cpu, or cuda where torch finds a GPU") from error
    return device


def device_name(device: torch.device | str) -> str:
    """The device as a person would say it: "NVIDIA H200", "Intel Xeon … (2 threads)"."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpu_name()} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "CPU"

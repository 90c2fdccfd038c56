"""How much memory this process takes."""

from __future__ import annotations

from pathlib import Path


def resident() -> tuple[float, float]:
    """Return this process's resident memory now, and at its highest, in MB of a million bytes.

    The highest is the kernel's ``VmHWM`` and not ``ru_maxrss``: that one goes on counting over an exec, so that a
    child of a large parent would start with the parent's.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    sizes = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return int(sizes["VmRSS"]) * 1024 / 1e6, int(sizes["VmHWM"]) * 1024 / 1e6

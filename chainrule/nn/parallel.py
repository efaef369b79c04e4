"""Modules over several devices: there is one, so DataParallel just calls its module; several
processes there are none.
"""

from __future__ import annotations

from typing import Any

from .module import Module


class DataParallel(Module):
    """Calls `module`, which is kept under that name as torch keeps it."""

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.module, self.device_ids, self.output_device, self.dim = module, [], output_device, dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module gives."""
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(Module):
    """Not available: it needs torch.distributed and several processes."""

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            "DistributedDataParallel is not available: chainrule runs in one process, without "
            "torch.distributed. "
            "Use the module itself, or DataParallel(module), which only calls it."
        )

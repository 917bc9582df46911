"""What PyTorch has no module for; imported only where PyTorch is."""

from __future__ import annotations

from typing import Any

import torch

from jitmlp_kernels.pieces.gather import BOUND


class Bins(torch.nn.Module):
    """Rows with how far numbers lie in their bins behind them.

    Parameters
    ----------
    sources, lower, widths : ndarray
        Of each part the column, the lower edge and the width of the bin.
    dtype : str
        Of the rows.
    """

    sources: torch.Tensor
    lower: torch.Tensor
    widths: torch.Tensor

    def __init__(self, sources: Any, lower: Any, widths: Any, dtype: str) -> None:
        super().__init__()
        kind = getattr(torch, dtype)
        self.register_buffer("sources", torch.as_tensor(sources))
        self.register_buffer("lower", torch.as_tensor(lower, dtype=kind))
        self.register_buffer("widths", torch.as_tensor(widths, dtype=kind))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        parts = (x[:, self.sources] - self.lower) / self.widths
        return torch.cat([x, parts.clamp(0, 1)], dim=1)


class SmoothClip(torch.nn.Module):
    """Numbers ``z = (x - shift) * scale`` between -3 and 3, ``z / sqrt(1 + (z / 3)^2)``.

    Parameters
    ----------
    shift, scale : ndarray
        Of each column, float64 as the rows.
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, shift: Any, scale: Any) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(shift))
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        z = (x - self.shift) * self.scale
        return z / torch.hypot(torch.ones_like(z), z / BOUND)


class Swish(torch.nn.Module):
    """``z / (1 + exp(-beta z))``."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        return z * torch.sigmoid(self.beta * z)


class Exp(torch.nn.Module):
    """``exp(z)``."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        return torch.exp(z)


class Erf(torch.nn.Module):
    """``erf(z)``."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        return torch.erf(z)


class Step(torch.nn.Module):
    """1 where ``z > 0``, else 0."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        return (z > 0).to(z.dtype)

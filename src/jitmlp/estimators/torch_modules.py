"""Activations that PyTorch has no module for; imported only where PyTorch is."""

from __future__ import annotations

import torch


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

"""Denoising at σ = 50, otherwise identical to denoising at σ = 30."""

from __future__ import annotations

from petlir.tasks.denoise_30 import denoise

DENOISE_50 = denoise(50)

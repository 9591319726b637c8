"""What other editions of mlx-c declare otherwise, by function: the edition, and how its signature differs."""

from __future__ import annotations

_TRANSFORMS = ["fft", "ifft", "irfft", "rfft", "fft2", "fftn", "ifft2", "ifftn", "irfft2", "irfftn", "rfft2", "rfftn"]
_GROUP = ("0.6", "returns the group in the place of the status; there is no `res`")

DEPARTURES: dict[str, tuple[str, str]] = {
    **{f"mlx_fft_{name}": ("0.6", "there is no `norm`") for name in _TRANSFORMS},
    "mlx_distributed_init": _GROUP,
    "mlx_distributed_group_split": _GROUP,
    "mlx_fast_scaled_dot_product_attention": ("Ollama", "`bool force_fused` stands before `s`"),
}
HEADERS = {"0.6": "mlxffi/compat/mlxc_0_6.h", "Ollama": "mlxffi/compat/ollama.h"}

"""Whether the matrix products of training are made in bfloat16."""

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def is_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Tell whether a training multiplies in bfloat16; sums, norms, softmaxes and weights stay in float32.

    Args:
        precision: `auto` says yes where the device has instructions for it: elsewhere it is emulated, and slower.
        device: Where the model is.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))

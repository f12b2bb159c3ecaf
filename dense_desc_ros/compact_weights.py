"""Weights in a third of the space, at hardly any loss.

Nearly all numbers of a ResNet are those of its few largest convolutions, which are also the least
sensitive: these are stored in eight bits, with a scale for each channel of their output, as Jacob
et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference" (CVPR 2018) have it for weights. The other parameters become float16. A network computes
in float32 all the same.
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

LARGE = 2**18  # numbers
STEPS = 127
SCALE = ".scale"  # ends the name of a tensor's scales


def compacted(tensors: Mapping[str, Tensor], parameters: Collection[str]) -> dict[str, Tensor]:
    """Tensors as they are to be stored.

    Args:
        tensors: of a network, by name.
        parameters: names of those that are trained; the others stay as they are.
    """
    stored = {}
    for name, tensor in tensors.items():
        if name not in parameters:
            stored[name] = tensor
        elif tensor.ndim < 4 or tensor.numel() < LARGE:
            stored[name] = tensor.half()
        else:
            scale = tensor.abs().amax(dim=(1, 2, 3), keepdim=True) / STEPS
            whole = (tensor / scale.clamp_min(torch.finfo(scale.dtype).tiny)).round()
            stored[name], stored[name + SCALE] = whole.to(torch.int8), scale
    return stored


def expanded(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that were stored, compacted or not.

    Raises:
        KeyError: a tensor in eight bits has no scales.
        RuntimeError: it has not one for each channel.
    """
    tensors = dict(stored)
    for name, tensor in stored.items():
        if tensor.dtype == torch.int8:
            # The product has the tensor's shape, whatever a file says.
            one_each = tensor.shape[:1] + (1,) * (tensor.ndim - 1)
            tensors[name] = tensor * tensors.pop(name + SCALE).reshape(one_each)
    return tensors

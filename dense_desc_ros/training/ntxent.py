"""Pixelwise NT-Xent: normalised temperature-scaled cross-entropy of corresponding descriptors.

Source: Adrian et al., "Efficient and Robust Training of Dense Object Nets for Multi-Object Robot
Manipulation" (ICRA 2022), after Chen et al., "A Simple Framework for Contrastive Learning of Visual
Representations" (2020).
"""

import torch
from torch import Tensor
from torch.nn import functional


def ntxent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """NT-Xent of corresponding descriptors, averaged over all anchors.

    For the anchor z_i with its counterpart z_j among the 2N descriptors of a pair of views,
    l_ij = -log( exp(z_i·z_j / τ) / Σ_{k≠i} exp(z_i·z_k / τ) ), with z normalised to length one.

    Args:
        a, b: (B, N, D) descriptors; a[i, n] and b[i, n] are of the same surface point. Negatives
            come from the same pair of views only: another image may well show the same point.
        temperature: τ > 0.

    Returns:
        A scalar, zero when every anchor is infinitely closer to its counterpart than to the rest.
    """
    z = functional.normalize(torch.cat([a, b], dim=1), dim=2)
    logits = z @ z.transpose(1, 2) / temperature
    own = torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    logits = logits.masked_fill(own, -torch.inf)
    count = a.shape[1]
    counterpart = torch.arange(2 * count, device=z.device).roll(-count).expand(len(z), -1)
    return functional.cross_entropy(logits.flatten(0, 1), counterpart.flatten())

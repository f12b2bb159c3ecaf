"""Pixelwise NT-Xent: normalised temperature-scaled cross-entropy of corresponding descriptors.

Source: Adrian et al., "Efficient and Robust Training of Dense Object Nets for Multi-Object Robot
Manipulation" (ICRA 2022), after Chen et al., "A Simple Framework for Contrastive Learning of Visual
Representations" (2020).
"""

import torch
from torch import Tensor
from torch.nn import functional


def ntxent(a: Tensor, b: Tensor, negatives: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """NT-Xent of corresponding descriptors, averaged over all of them as anchors.

    For an anchor z_i with its counterpart z_j and negatives z_k,
    l_ij = -log( exp(z_i·z_j / τ) / (exp(z_i·z_j / τ) + Σ_k exp(z_i·z_k / τ)) ), z of length one.

    Args:
        a, b: (B, N, D) descriptors; a[i, n] and b[i, n] are of the same surface point.
        negatives: (B, M, D) descriptors of other points of the same two views. Those of other
            pairs are not used: another picture may well show the same object.
        excluded: (B, N, M) bool, where a negative is too near to the point to count as another.
        temperature: τ > 0.

    Returns:
        A scalar, zero when every anchor is infinitely closer to its counterpart than to the rest.
    """
    a, b, negatives = (functional.normalize(x, dim=2) for x in (a, b, negatives))
    positive = (a * b).sum(dim=2, keepdim=True) / temperature
    losses = []
    for anchor in (a, b):
        negative = anchor @ negatives.transpose(1, 2) / temperature
        logits = torch.cat([positive, negative.masked_fill(excluded, -torch.inf)], dim=2)
        losses.append(logits.logsumexp(dim=2) - positive[..., 0])
    return torch.stack(losses).mean()

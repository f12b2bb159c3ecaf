"""Dense Object Nets trained with pixelwise NT-Xent the usual way: what memory is compared with.

Descriptors are upsampled to the image, and every pixel of both views is a negative of every
correspondence, as in the baseline published with "Training Dense Object Nets: A Novel Approach".
This is for measuring only; `training.objectives.ntxent` is for training.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from dense_desc_ros.network import DescriptorNetwork
from dense_desc_ros.training.objectives import Batch

TEMPERATURE = 0.07
Similarity = Callable[[Tensor, Tensor], Tensor]


class UsualNtxent:
    """NT-Xent on full-resolution descriptors; an `Objective`.

    Args:
        similarity: how descriptors (N, D) are compared with those of all pixels (H, W, D); gives
            (N, H, W). `by_broadcast` is the usual way, `by_product` a thriftier one.
    """

    def __init__(self, similarity: Similarity) -> None:
        self.similarity = similarity

    def __call__(
        self, network: DescriptorNetwork, features: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        size = batch["images"].shape[-2:]
        full = functional.interpolate(features, size=size, mode="bilinear", align_corners=False)
        descriptors = functional.normalize(full, dim=1).permute(0, 2, 3, 1)
        losses = []
        for (a, b), (pixels_a, pixels_b) in zip(
            descriptors.unflatten(0, (-1, 2)), batch["pixels"].round().long(), strict=True
        ):
            losses.append(self._one_way(a, b, pixels_a, pixels_b))
            losses.append(self._one_way(b, a, pixels_b, pixels_a))
        return {"loss": torch.stack(losses).mean()}

    def _one_way(self, a: Tensor, b: Tensor, pixels_a: Tensor, pixels_b: Tensor) -> Tensor:
        """Loss of anchors in a (H, W, D), their counterparts in b being positive.

        Negatives are all pixels of b, and those of a that are no anchors.
        """
        (u_a, v_a), (u_b, v_b) = pixels_a.T, pixels_b.T
        anchors = a[v_a, u_a]
        positive = (anchors * b[v_b, u_b]).sum(dim=1) / TEMPERATURE
        in_a = self.similarity(anchors, a) / TEMPERATURE
        is_anchor = torch.zeros(a.shape[:2], dtype=torch.bool, device=a.device)
        is_anchor[v_a, u_a] = True
        in_a = in_a.masked_fill(is_anchor, -torch.inf)
        in_b = self.similarity(anchors, b) / TEMPERATURE
        sums = [positive, in_a.flatten(1).logsumexp(dim=1), in_b.flatten(1).logsumexp(dim=1)]
        return (torch.stack(sums).logsumexp(dim=0) - positive).mean()


def by_broadcast(anchors: Tensor, descriptors: Tensor) -> Tensor:
    """Products of each anchor with each pixel, summed: N x H x W x D numbers on the way."""
    return (anchors[:, None, None] * descriptors).sum(dim=-1)


def by_product(anchors: Tensor, descriptors: Tensor) -> Tensor:
    """The same as one matrix product."""
    return (anchors @ descriptors.flatten(0, 1).T).unflatten(1, descriptors.shape[:2])

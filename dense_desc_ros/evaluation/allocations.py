"""Exact memory of tensors, without a GPU: every storage is followed from its birth to its death."""

import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class AllocationTracker(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, while it is entered.

    It sees every operation that PyTorch dispatches, those of autograd's backward pass and of the
    optimizer too, and takes note of each storage among the arguments and results. A storage counts
    once, however many tensors are views of it, until PyTorch frees it: so what autograd saves for
    the backward pass counts for as long as it is kept. With fake tensors
    (`torch._subclasses.FakeTensorMode`, entered first) nothing is allocated or computed, and the
    count is the same.

    What an operation allocates and frees within itself is not seen: workspace of the kernels (for
    convolutions, matrix products, sorting), nor is rounding by an allocator.

    Attributes:
        current: bytes alive now.
        peak: the most that were alive at once since entering, or since `reset_peak`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.current = self.peak = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self._take_note((args, kwargs))
        result = func(*args, **(kwargs or {}))
        self._take_note(result)
        return result

    def reset_peak(self) -> None:
        self.peak = self.current

    def _take_note(self, values: Any) -> None:
        for tensor in tree_leaves(values):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            if id(storage) not in self._alive:  # PyTorch keeps one object for each storage
                forget = partial(self._forget, id(storage), storage.nbytes())
                self._alive[id(storage)] = weakref.ref(storage, forget)
                self.current += storage.nbytes()
        self.peak = max(self.peak, self.current)

    def _forget(self, key: int, size: int, _: "weakref.ref[torch.UntypedStorage]") -> None:
        del self._alive[key]
        self.current -= size

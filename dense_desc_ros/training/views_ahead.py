"""Batches made ahead, in a thread of their own, while the device trains on the ones before."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch.utils.data import DataLoader

from dense_desc_ros.data.batched_views import Plans
from dense_desc_ros.training.objectives import Batch

AHEAD = 2  # batches


class ViewsAhead:
    """What a loader's plans are made into, in their order.

    On a GPU that happens in a stream of its own, beside the training's.

    Args:
        loader: of plans.
        make: makes a batch of views of plans on the device.
        device: that trains.
    """

    def __init__(
        self, loader: DataLoader, make: Callable[[Plans], Batch], device: torch.device
    ) -> None:
        self.loader, self.make, self.device = loader, make, device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        plans = iter(self.loader)
        stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        if stream:
            stream.wait_stream(torch.cuda.current_stream(self.device))  # which read the frames

        def make_next() -> tuple[Batch, torch.cuda.Event | None] | None:
            with torch.cuda.stream(stream):
                if (some := next(plans, None)) is None:
                    return None
                batch = self.make({k: v.to(self.device) for k, v in some.items()})
                return batch, stream.record_event() if stream else None

        with ThreadPoolExecutor(max_workers=1) as pool:
            ahead = deque(pool.submit(make_next) for _ in range(AHEAD))
            while (made := ahead.popleft().result()) is not None:
                ahead.append(pool.submit(make_next))
                batch, event = made
                if event:
                    current = torch.cuda.current_stream(self.device)
                    current.wait_event(event)
                    for value in batch.values():
                        value.record_stream(current)
                yield batch

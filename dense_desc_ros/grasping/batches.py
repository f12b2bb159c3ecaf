"""References in parts, so that memory does not grow with how many there are."""

from collections.abc import Callable, Iterator, Sequence

from dense_desc_ros.references import Reference


def batches(
    references: Sequence[Reference], size: Callable[[Reference], int], most: int
) -> Iterator[Sequence[Reference]]:
    """Consecutive ones whose sizes together are `most` at most, or one alone that is larger."""
    start, total = 0, 0
    for i, reference in enumerate(references):
        total += size(reference)
        if total > most and i > start:
            yield references[start:i]
            start, total = i, size(reference)
    if start < len(references):
        yield references[start:]

"""What was sent to the node, held against what its diagnostics say became of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

MALFORMED = "refused.malformed"  # what never came to the node's code


@dataclass
class Accounts:
    """Counts of what was sent.

    Attributes:
        color, depth: images.
        expected: of frames, by what the node should count each under.
        requests: calls of the node's services, and clicks.
        refused: of these, by kind, those that were refused, and clicks that should be.
        sent: everything, by what was wrong with it.
    """

    color: int = 0
    depth: int = 0
    expected: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    def verdict(self, values: Mapping[str, str]) -> dict[str, object]:
        """What is told of it, and what of that does not fit.

        Queues are bounded: images may be replaced by newer ones before the node reads them
        (`unread`), and frames before they are worked on (`dropped`). Every other image must be
        counted as what it is, and every request; else it is `unexplained`.

        Args:
            values: of the diagnostics, when nothing is in work any more.
        """

        def told(name: str) -> int:
            return int(values.get(name, 0))

        unread = self.color - told("received") + self.depth - told("received_depth")
        frames = {name: told(name) for name in values if name.startswith("refused.")}
        frames["processed"] = told("processed")
        missing = {
            name: self.expected[name] - frames.get(name, 0)
            for name in {*self.expected, *frames} - {"unsynchronised"}
        }
        refused = {
            name.removeprefix("requests_refused."): told(name)
            for name in values
            if name.startswith("requests_refused.")
        }
        worked_on = sum(frames.values()) - frames.get(MALFORMED, 0)
        lost = sum(count for name, count in missing.items() if name != MALFORMED)
        balances = {
            "counted more often than sent": min(missing.values()) >= 0,
            "missing frames": lost <= told("dropped") + unread,
            "complete frames": told("paired") == worked_on + told("dropped"),
            "images": told("received") + told("received_depth")
            == 2 * told("paired") + told("unsynchronised"),
            "requests": told("requests") == self.requests,
            "refused requests": refused == dict(+self.refused),
        }
        return {
            "sent": dict(sorted(self.sent.items())),
            "reported": frames,
            "missing": {name: count for name, count in sorted(missing.items()) if count},
            "dropped": told("dropped"),
            "unsynchronised": told("unsynchronised"),
            "unread": unread,
            "requests": self.requests,
            "requests_reported": told("requests"),
            "requests_refused": refused,
            "unexplained": [what for what, holds in balances.items() if not holds],
        }

"""What was asked for and what was promised, to hold against what is there after a crash."""

from collections import Counter, defaultdict
from collections.abc import Mapping


class Ledger:
    """Versions of named things that were asked for, acknowledged, and found.

    Attributes:
        outcomes: of all looks: "lost" was acknowledged and is not there; "wrong" is there in a
            version that was not acknowledged last and not asked for since; "kept" and "gone" are
            requests without an answer.
    """

    def __init__(self) -> None:
        self._promised: dict[str, int] = {}
        self._open: defaultdict[str, list[int]] = defaultdict(list)  # since the promised one
        self.outcomes: Counter[str] = Counter()

    def ask(self, name: str, version: int) -> None:
        """A version, greater than all before, is asked for."""
        self._open[name].append(version)

    def promise(self, name: str, version: int) -> None:
        """It was acknowledged."""
        self._promised[name] = version
        self._open[name] = [other for other in self._open[name] if other > version]

    def look(self, found: Mapping[str, int]) -> None:
        """Compare with the versions that are there; from now on these are what is promised."""
        for name in {*self._promised, *self._open, *found}:
            version, unanswered = found.get(name), self._open.pop(name, [])
            if version is None and name in self._promised:
                self.outcomes["lost"] += 1
            elif version is not None and version not in {self._promised.get(name), *unanswered}:
                self.outcomes["wrong"] += 1
            self.outcomes["kept"] += version in unanswered
            self.outcomes["gone"] += len(unanswered) - (version in unanswered)
        self._promised = dict(found)

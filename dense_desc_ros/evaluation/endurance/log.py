"""What the node wrote into its log."""

import re
from pathlib import Path

COMPLAINT = re.compile(r"^\[(?:WARN|ERROR|FATAL)\].*$", re.MULTILINE)


def complaints(log: Path) -> list[str]:
    """The warnings and errors, of each its first line."""
    return COMPLAINT.findall(log.read_text(errors="replace"))

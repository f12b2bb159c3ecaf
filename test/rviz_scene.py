"""What a configuration of RViz shows."""

from typing import Any


def topics_of(display: dict[str, Any]) -> list[str]:
    """The topics of a display or tool."""
    found = [value for key, value in display.items() if key.endswith("Topic")]
    return [value["Value"] if isinstance(value, dict) else value for value in found]


def shown_topics(config: dict[str, Any]) -> set[str]:
    """All topics that are subscribed to."""
    displays = config["Visualization Manager"]["Displays"]
    return {topic for display in displays for topic in topics_of(display)}

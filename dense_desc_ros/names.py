"""Names of references, which become names of files."""

import re

from dense_desc_ros.errors import InvalidInputError

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_name(name: str) -> str:
    """Return the name, or raise InvalidInputError if it could not safely name a file."""
    if not NAME.fullmatch(name):
        raise InvalidInputError(
            f"reference name {name[:80]!r} is not 1 to 64 letters, digits, '_' or '-'"
        )
    return name

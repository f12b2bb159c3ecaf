"""How threads of the network wait for each other, to be set before torch is imported."""

import os


def sleep_while_waiting() -> None:
    """Have OpenMP's threads sleep, not spin, until the others are done with their part of the work.

    Spinning costs nothing on a machine with nothing else to do. On any other it takes the processor
    from the very thread that is waited for. Only before torch is imported, and unless the
    environment says otherwise.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

"""How much of its time a run waits for data."""

import logging
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

log = logging.getLogger(__name__)


class DataClock(Callback):
    """Measures the time between steps; shows its share, and logs it at the end.

    What is done between epochs (checkpoints, pictures, validation) counts neither as waiting nor as
    training.
    """

    def __init__(self) -> None:
        self._waited = self._worked = 0.0
        self._since = 0.0

    @property
    def share(self) -> float:
        """Of all time so far, the part spent waiting for data."""
        return self._waited / max(self._waited + self._worked, 1e-9)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._since = time.monotonic()  # the first epoch of a resumed run is not announced

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._since = time.monotonic()

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, batch_index: int
    ) -> None:
        self._waited += self._lap()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        self._worked += self._lap()
        module.log("waiting", self.share, prog_bar=True)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        steps, seconds = trainer.global_step, self._waited + self._worked
        log.info(
            "step %d; %.0f s of training, %.1f %% of it waiting for data",
            steps,
            seconds,
            100 * self.share,
        )

    def _lap(self) -> float:
        now = time.monotonic()
        passed, self._since = now - self._since, now
        return passed

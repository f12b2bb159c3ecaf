"""A run that has diverged ends, before it overwrites what it had reached."""

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from dense_desc_ros.errors import TrainingError


class EndsDiverged(Callback):
    """Looks at the loss after every epoch; goes before the callbacks that save weights.

    Not after every step: a GPU would have to be waited for.
    """

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Check the last step's loss.

        Raises:
            TrainingError: it is not finite, and so the weights are not any more.
        """
        loss = trainer.callback_metrics["loss"]
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item():g} at step {trainer.global_step}: the training has "
                "diverged; try a lower learning_rate"
            )

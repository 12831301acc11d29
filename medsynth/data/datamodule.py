"""VolumeDataModule: prepared cases as Lightning's loaders."""

from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from medsynth.data.augmentation import Augmentation
from medsynth.data.dataset import Sample, StepBatches, TrainingSamples, ValidationSamples
from medsynth.data.fitting import FittedData
from medsynth.data.prepared import PreparedCases
from medsynth.data.texts import Texts
from medsynth.models.conditioner import Conditioner


class VolumeDataModule(lightning.LightningDataModule):
    """Training batches without an end, from the step where training stands; validation batches in order.

    Args:
        fitted: cases and split.
        training_cases: the training cases with the augmentation's margin.
        conditioner: from what is known of a case to vectors.
        augmentation: of training cases.
        batch_size: of the global batch.
        workers: processes that load, 0 for none; the samples are the same.
        seed: of order and augmentation.
        validation_most: largest number of validation samples.
        texts: what is said of the cases.
    """

    def __init__(
        self,
        fitted: FittedData,
        training_cases: PreparedCases,
        conditioner: Conditioner,
        augmentation: Augmentation,
        *,
        batch_size: int,
        workers: int,
        seed: int,
        validation_most: int = 64,
        texts: Texts | None = None,
    ) -> None:
        super().__init__()
        self.batch_size, self.workers = batch_size, workers
        spacing = fitted.preparation.grid.spacing
        self.training = TrainingSamples(
            training_cases, fitted.slices["train"], conditioner, augmentation, seed, spacing, texts
        )
        self.validation = ValidationSamples(
            fitted.cases["validation"], fitted.slices["validation"], conditioner, augmentation, validation_most, texts
        )

    def train_dataloader(self) -> DataLoader[Sample]:
        """Batches from the trainer's present step on."""
        trainer: Any = self.trainer
        batches = StepBatches(trainer.global_step, self.batch_size, trainer.global_rank, trainer.world_size)
        return DataLoader(self.training, batch_sampler=batches, **self._settings())

    def val_dataloader(self) -> DataLoader[Sample]:
        """The validation samples, in order."""
        return DataLoader(self.validation, batch_size=self.batch_size, **self._settings())

    def _settings(self) -> dict[str, Any]:
        # "spawn" where there are workers: a forked process may hang on the parent's threads.
        workers = {"multiprocessing_context": "spawn", "persistent_workers": True} if self.workers else {}
        return {"num_workers": self.workers, "pin_memory": torch.cuda.is_available(), **workers}

"""What is learnt, how long, and what came of it: the plain settings of a training."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from medsynth.data.augmentation import Augmentation
from medsynth.data.resampling import Resampling
from medsynth.data.split import SplitPlan
from medsynth.data.texts import TextPlan
from medsynth.errors import MedsynthError


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """An image channel of the cases and its intensity; see Intensity.

    `name` "image" also stands for the only image channel there is, whatever its name.
    """

    name: str
    kind: Literal["window", "percentiles"]
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class GivenPlan:
    """What a sample is made from; a case that lacks a part trains its null.

    Args:
        label: label channel, None for none.
        images: image channels (another modality).
    """

    label: str | None = None
    images: Sequence[ImageInput] = ()


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """What of the cases is learnt.

    Args:
        images: the image channels, in order.
        label: label channel generated along with the images, or None.
        resampling: orientation, spacing, size, slices.
        split: patients for validation and test.
        conditions: attributes the model is conditioned on as classes ("class").
        numbers: attributes it is conditioned on as numbers ("age"); see medsynth.data.derived for those that the
            geometry tells.
        given: channels that a sample is made from.
        style: whether the model is told the look of a reference image.
        text: what is said of the cases in words.
        augmentation: of training cases.
        label_reach: voxels from a label's edge to where its channel is +1 and -1; 0 is one-hot.
        batch_size: of the global batch.
        validation_most: largest number of validation samples.
    """

    images: Sequence[ImageInput]
    label: str | None
    resampling: Resampling
    split: SplitPlan
    conditions: Sequence[str] = ()
    numbers: Sequence[str] = ()
    given: GivenPlan = field(default_factory=GivenPlan)
    style: bool = False
    text: TextPlan = field(default_factory=TextPlan)
    augmentation: Augmentation = field(default_factory=Augmentation)
    label_reach: float = 1.5
    batch_size: int = 8
    validation_most: int = 64

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.validation_most < 1 or not self.images:
            raise MedsynthError("data: batch_size and validation_most are at least 1, images names a channel")
        if not 0 <= self.label_reach < float("inf"):
            raise MedsynthError("data.label_reach is a number of voxels, 0 or more")
        names = [image.name for image in (*self.images, *self.given.images)]
        if len(set(names)) < len(names):
            raise MedsynthError("data.images and data.given.images name one channel twice")
        if self.label and self.given.label:
            raise MedsynthError("a label map is either made or given: set data.label or data.given.label to null")
        axes = len(self.resampling.size)
        if any(axis >= axes for axis in self.augmentation.flip):
            raise MedsynthError(f"data.augmentation.flip: a sample has the axes 0 to {axes - 1}; name some of these")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, and how often to look.

    Args:
        steps: optimiser steps.
        validate_every: steps between validations; divides `steps`.
        checkpoint_every: steps between training states; a multiple of `validate_every`.
        preview_every: steps between contact sheets; a multiple of `validate_every`.
        preview_count: samples on a contact sheet, 0 for none.
        snapshot_every: steps between snapshots of the averaged weights, from which averages of other
            widths are made afterwards; a multiple of `validate_every`; None for none.
    """

    steps: int
    validate_every: int
    checkpoint_every: int
    preview_every: int
    preview_count: int = 4
    snapshot_every: int | None = None

    def __post_init__(self) -> None:
        every, snapshots = self.validate_every, self.snapshot_every
        if snapshots is not None and (snapshots < 1 or snapshots % max(every, 1)):
            raise MedsynthError(f"trainer: snapshot_every is null or a multiple of validate_every={every}")
        if min(self.steps, every, self.checkpoint_every, self.preview_every) < 1 or self.preview_count < 0:
            raise MedsynthError("trainer: steps and the distances between looks are at least 1")
        if self.steps % every or self.checkpoint_every % every or self.preview_every % every:
            raise MedsynthError(
                f"trainer: steps={self.steps}, checkpoint_every={self.checkpoint_every} and "
                f"preview_every={self.preview_every} must be multiples of validate_every={every}"
            )


@dataclass(frozen=True)
class TrainReport:
    """How it went: the last step, the lowest validation loss and its step, seconds, where it resumed."""

    step: int
    best_loss: float
    best_step: int
    seconds: float
    resumed_from: int

    @property
    def summary(self) -> str:
        """One line for the eye."""
        return (
            f"{self.step} steps; lowest validation loss {self.best_loss:.4f} at step {self.best_step}; "
            f"{self.seconds / 60:.1f} minutes"
        )

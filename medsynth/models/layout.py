"""What the channels of a sample mean: the way between model units and a scan's own units.

A sample is one tensor (C, *spatial): first the image channels, scaled so that the
recorded range [low, high] is [-1, 1]; then, where a label map is generated with the
image, one channel a label value, positive inside and negative outside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.models.label_field import label_channels
from medsynth.records import require_token


@dataclass(frozen=True, kw_only=True)
class ImageChannel:
    """One image of a sample.

    Args:
        name: as in the case records.
        units: of `low` and `high`: "HU", "arbitrary", "grey", ...
        low, high: values that are -1 and +1 to the model. For MR, whose units are
            arbitrary, they are the training patients' medians: one inverse for all.
        modality: DICOM modality code, None when not known.
        integer: values are stored as whole numbers (HU, 8-bit grey).
    """

    name: str
    units: str
    low: float
    high: float
    modality: str | None = None
    integer: bool = False

    def __post_init__(self) -> None:
        require_token(self.name, "a channel's name")
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high):
            raise MedsynthError(f"channel {self.name}: the intensity range needs low < high; set data.images")


@dataclass(frozen=True, kw_only=True)
class LabelChannel:
    """The label map of a sample.

    Args:
        name: as in the case records.
        values: the name of each value, background (0) included.
        reach: voxels from a label's edge to where its channel is +1 and -1; see `label_channels`.
    """

    name: str
    values: Mapping[int, str] = field(default_factory=dict)
    reach: float = 0.0

    def __post_init__(self) -> None:
        require_token(self.name, "a channel's name")
        if len(self.values) < 2 or min(self.values) < 0 or max(self.values) >= 2**31:
            raise MedsynthError("a label map needs names for two values or more, whole numbers from 0; ingest again")
        if not (np.isfinite(self.reach) and self.reach >= 0):
            raise MedsynthError("data.label_reach is a number of voxels, 0 or more")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Channels and grid of a sample; valid once constructed.

    Args:
        images: at least one.
        label: the label map generated together with them, or None.
        grid: shape, spacing and place of every sample.
    """

    images: tuple[ImageChannel, ...]
    label: LabelChannel | None
    grid: Geometry

    def __post_init__(self) -> None:
        if not self.images:
            raise MedsynthError("a model needs at least one image channel; set data.images")
        names = [image.name for image in self.images] + ([self.label.name] if self.label else [])
        if len(set(names)) < len(names):
            raise MedsynthError("two channels of a sample have one name; set data.images and data.label")

    @property
    def channels(self) -> int:
        """Number of channels C of a sample's tensor."""
        return len(self.images) + (len(self.label.values) if self.label else 0)

    @property
    def rank(self) -> int:
        """2 for images, 3 for volumes."""
        return self.grid.rank

    def encode(self, images: Sequence[NDArray[Any]], label: NDArray[Any] | None) -> Tensor:
        """Images in units, label map in values -> float32 (C, *spatial) in model units."""
        parts = []
        for channel, image in zip(self.images, images, strict=True):
            scaled = (torch.from_numpy(np.ascontiguousarray(image)).float() - channel.low) / (
                channel.high - channel.low
            )
            parts.append(scaled.clamp(0, 1) * 2 - 1)
        if self.label:
            if label is None:
                raise MedsynthError(
                    "a case without a label map cannot train a model that makes one; set data.label=null"
                )
            parts.extend(label_channels(label, self.label.values, self.label.reach))
        return torch.stack(parts)

    def decode(self, x: Tensor) -> "Decoded":
        """One sample (C, *spatial) in model units -> arrays in units, clipped to the recorded ranges."""
        images = {}
        for channel, part in zip(self.images, x, strict=False):
            values = (part.float().clamp(-1, 1) + 1) / 2 * (channel.high - channel.low) + channel.low
            array = values.cpu().numpy()
            images[channel.name] = np.round(array).astype(_integer_type(channel)) if channel.integer else array
        if not self.label:
            return Decoded(images, None)
        values_of = np.array(list(self.label.values), dtype=np.int64)
        label = values_of[x[len(self.images) :].argmax(0).cpu().numpy()]
        return Decoded(images, label.astype(np.uint8 if values_of.max() < 256 else np.int32))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "images": [dict(vars(channel)) for channel in self.images],
            "label": {
                "name": self.label.name,
                "values": {str(k): v for k, v in self.label.values.items()},
                "reach": self.label.reach,
            }
            if self.label
            else None,
            "grid": self.grid.to_record(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read back `to_json`; unknown fields are refused (TypeError)."""
        label = content["label"]
        return cls(
            images=tuple(ImageChannel(**channel) for channel in content["images"]),
            label=LabelChannel(
                name=label["name"], values={int(k): v for k, v in label["values"].items()}, reach=label["reach"]
            )
            if label
            else None,
            grid=Geometry.from_record(content["grid"]),
        )


@dataclass(frozen=True)
class Decoded:
    """A sample in its own units: images by channel name, and the label map or None."""

    images: dict[str, NDArray[Any]]
    label: NDArray[Any] | None


def _integer_type(channel: ImageChannel) -> type[np.integer[Any]]:
    """The smallest of the types that viewers read which holds the channel's range."""
    types = (np.uint8, np.int16, np.int32)
    return next((t for t in types if np.iinfo(t).min <= channel.low and channel.high <= np.iinfo(t).max), np.int64)

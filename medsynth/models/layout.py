"""What the channels of a sample mean: the way between model units and a scan's own units.

A sample is one tensor (C, *spatial): first the image channels, scaled so that the
recorded range [low, high] is [-1, 1]; then, where a label map is generated with the
image, one channel a label value, positive inside and negative outside.

What a sample is made from (a label map, another modality) has channels of its own, in the same
form and on the same grid: they are given, not made.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

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

    def decode(self, x: Tensor) -> NDArray[Any]:
        """Channels (len(values), *spatial) -> the label map."""
        values = np.array(list(self.values), dtype=np.int64)
        label: NDArray[Any] = values[x.argmax(0).cpu().numpy()]
        return label.astype(np.uint8 if values.max() < 256 else np.int32)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a sample is made from: images and a label map that it is to fit; a sample may lack each.

    Args:
        images: by name the units of image channels, of another modality, say; in order.
        label: the label map.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    label: LabelChannel | None = None

    def __post_init__(self) -> None:
        for name, units in self.images.items():
            require_token(name, "a channel's name")
            if not (isinstance(units, str) and units.isprintable() and 0 < len(units) <= 64):
                raise MedsynthError(f"the given {name} has no units: ingest the cases again")

    @property
    def parts(self) -> dict[str, slice]:
        """By channel name, where its channels lie in the tensor of all that is given."""
        widths = dict.fromkeys(self.images, 1)
        if self.label:
            widths[self.label.name] = len(self.label.values)
        ends = list(itertools.accumulate(widths.values()))
        return {name: slice(end - widths[name], end) for name, end in zip(widths, ends, strict=True)}

    @property
    def channels(self) -> int:
        """Number of channels G of the tensor."""
        return max((part.stop for part in self.parts.values()), default=0)

    def tell(self, shape: Sequence[int], parts: Mapping[str, Tensor] | None = None) -> "Told":
        """What a model is told of one sample: its parts in model units, zeros for those that are missing.

        Args:
            shape: of the sample's grid.
            parts: by name, an image (1, *shape) in [-1, 1], a label map as `label_channels`.

        Raises:
            MedsynthError: a part that is not among them, or of another shape.
        """
        parts = parts or {}
        for name, part in parts.items():
            place = self.parts.get(name, slice(0, 0))
            if part.shape != (place.stop - place.start, *shape):
                known = ", ".join(self.parts) or "nothing"
                raise MedsynthError(
                    f"the given {name} has the shape {list(part.shape)} or is unknown; the model is given {known}, "
                    f"on a grid of {list(shape)}"
                )
        channels = torch.zeros(self.channels, *shape)
        for name, place in self.parts.items():
            if name in parts:
                channels[place] = parts[name]
        return Told(channels, torch.tensor([name in parts for name in self.parts], dtype=torch.bool))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        images = [{"name": name, "units": units} for name, units in self.images.items()]
        return {"images": images, "label": _label_json(self.label)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read back `to_json`; unknown fields and a name that is there twice are refused (TypeError).

        Raises:
            MedsynthError: images without units, as earlier versions wrote them.
        """
        unknown = set(content) - {"images", "label"}
        if unknown:
            raise TypeError(f"unknown fields {unknown}")
        written = content["images"]
        if not isinstance(written, list) or any(
            not isinstance(image, str) and set(image) != {"name", "units"} for image in written
        ):
            raise TypeError("images is a list of names and units")
        if any(isinstance(image, str) for image in written):
            raise MedsynthError(
                "it was written before the units of what is given were recorded, and nobody could tell a scan in other "
                "units; train anew, or use the version of medsynth that wrote it"
            )
        images = {image["name"]: image["units"] for image in written}
        if len(images) < len(written):
            raise TypeError("an image is there twice")
        return cls(images=images, label=_label_from(content["label"]))


class Told(NamedTuple):
    """What is given of one sample: (G, *spatial) in model units, and which parts are there (P,)."""

    channels: Tensor
    present: Tensor


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Channels and grid of a sample; valid once constructed.

    Args:
        images: at least one.
        label: the label map generated together with them, or None.
        grid: shape, spacing and place of every sample.
        given: what it is made from.
    """

    images: tuple[ImageChannel, ...]
    label: LabelChannel | None
    grid: Geometry
    given: Given = field(default_factory=Given)

    def __post_init__(self) -> None:
        if not self.images:
            raise MedsynthError("a model needs at least one image channel; set data.images")
        names = [*(image.name for image in self.images), *self.given.images]
        names += [label.name for label in (self.label, self.given.label) if label]
        if len(set(names)) < len(names):
            raise MedsynthError("two channels of a sample have one name; set data.images, data.label and data.given")

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
            parts.append(_scaled(image, channel))
        if self.label:
            if label is None:
                raise MedsynthError(
                    "a case without a label map cannot train a model that makes one; set data.label=null"
                )
            parts.extend(label_channels(label, self.label.values, self.label.reach))
        return torch.stack(parts)

    def decode(self, x: Tensor, ranges: Sequence[Sequence[float]] | None = None) -> "Decoded":
        """One sample (C, *spatial) in model units -> arrays in units, clipped to the ranges.

        Args:
            x: the sample.
            ranges: (low, high) of each image, the values of one scan that are -1 and +1; None takes the
                recorded ones, of all.
        """
        images = {}
        own = ranges if ranges is not None else [(channel.low, channel.high) for channel in self.images]
        for channel, part, (low, high) in zip(self.images, x, own, strict=False):
            values = (part.float().clamp(-1, 1) + 1) / 2 * (high - low) + low
            array = values.cpu().numpy()
            images[channel.name] = np.round(array).astype(_integer_type(low, high)) if channel.integer else array
        if not self.label:
            return Decoded(images, None)
        return Decoded(images, self.label.decode(x[len(self.images) :]))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "images": [dict(vars(channel)) for channel in self.images],
            "label": _label_json(self.label),
            "grid": self.grid.to_record(),
            "given": self.given.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read back `to_json`; unknown fields are refused (TypeError)."""
        return cls(
            images=tuple(ImageChannel(**channel) for channel in content["images"]),
            label=_label_from(content["label"]),
            grid=Geometry.from_record(content["grid"]),
            given=Given.from_json(content["given"]),
        )


@dataclass(frozen=True)
class Decoded:
    """A sample in its own units: images by channel name, and the label map or None."""

    images: dict[str, NDArray[Any]]
    label: NDArray[Any] | None


def _scaled(image: NDArray[Any], channel: ImageChannel) -> Tensor:
    """An image in units -> [-1, 1]."""
    scaled = (torch.from_numpy(np.ascontiguousarray(image)).float() - channel.low) / (channel.high - channel.low)
    return scaled.clamp(0, 1) * 2 - 1


def _label_json(label: LabelChannel | None) -> dict[str, Any] | None:
    if label is None:
        return None
    return {"name": label.name, "values": {str(k): v for k, v in label.values.items()}, "reach": label.reach}


def _label_from(content: Mapping[str, Any] | None) -> LabelChannel | None:
    if not content:
        return None
    values = {int(key): name for key, name in content["values"].items()}
    return LabelChannel(name=content["name"], values=values, reach=content["reach"])


def _integer_type(low: float, high: float) -> type[np.integer[Any]]:
    """The smallest of the types that viewers read which holds the range."""
    types = (np.uint8, np.int16, np.int32)
    return next((t for t in types if np.iinfo(t).min <= low and high <= np.iinfo(t).max), np.int64)

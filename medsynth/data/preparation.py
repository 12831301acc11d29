"""How cases were brought to the form of a sample, and the same again for evaluation.

A `Preparation` says everything that was done; it goes with the run and with every
folder of samples, so that evaluation brings real cases to exactly the same form.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from medsynth.data.resampling import CaseArrays, Intensity, Resampling, read_case
from medsynth.data.split import SplitPlan, split_patients
from medsynth.errors import MedsynthError
from medsynth.files import sha256_json, write_json
from medsynth.geometry import Geometry
from medsynth.models.layout import Layout
from medsynth.records import CASES_FILE, SPLITS, CaseRecord, Split, read_records

PREPARATION_FILE = "preparation.json"
_SCHEMA = "medsynth.preparation/3"
_READ = ("medsynth.preparation/2", _SCHEMA)
"""What is read: /2 lacked the units of given images, and is the same where no image is given."""
_FIELDS = {"schema", "layout", "intensity", "resampling", "split", "cases_sha256", "conditions"}


class PreparedCase(NamedTuple):
    """A real case (or one slice of it) in the form of a sample.

    `images` are float32 in units, clipped to the recorded range as samples are;
    `label` holds the label values or is None. All have `preparation.grid.shape`.
    """

    record: CaseRecord
    split: Split
    images: dict[str, NDArray[Any]]
    label: NDArray[Any] | None


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Everything that stands between a case's files and a model's tensor.

    Args:
        layout: channels, units and grid of a sample.
        intensity: by image channel, made and given.
        resampling: orientation, spacing, size.
        split: how patients were divided.
        cases_sha256: of the cases.jsonl that the model was trained on.
        conditions: names of the record attributes the model was conditioned on.
    """

    layout: Layout
    intensity: Mapping[str, Intensity]
    resampling: Resampling
    split: SplitPlan
    cases_sha256: str
    conditions: tuple[str, ...] = ()

    @property
    def grid(self) -> Geometry:
        """Shape, spacing and place of a sample."""
        return self.layout.grid

    @cached_property
    def sha256(self) -> str:
        """Hash of all of it."""
        return sha256_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; names no patient and no path."""
        return {
            "schema": _SCHEMA,
            "layout": self.layout.to_json(),
            "intensity": {name: asdict(intensity) for name, intensity in self.intensity.items()},
            "resampling": json.loads(json.dumps(asdict(self.resampling))),
            "split": self.split.to_json(),
            "cases_sha256": self.cases_sha256,
            "conditions": list(self.conditions),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read back `to_json`.

        Raises:
            MedsynthError: another version, unknown or missing fields.
        """
        try:
            if set(content) != _FIELDS or content["schema"] not in _READ:
                raise KeyError
            return cls(
                layout=Layout.from_json(content["layout"]),
                intensity={name: Intensity(**values) for name, values in content["intensity"].items()},
                resampling=Resampling.from_json(content["resampling"]),
                split=SplitPlan(**content["split"]),
                cases_sha256=content["cases_sha256"],
                conditions=tuple(content["conditions"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise MedsynthError(
                f"{PREPARATION_FILE} is not whole or of another version; make the folder anew"
            ) from None

    def write(self, folder: Path) -> None:
        """Write `folder`/preparation.json."""
        write_json(folder / PREPARATION_FILE, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a preparation.json, given as the file or its folder."""
        path = path / PREPARATION_FILE if path.is_dir() else path
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            raise MedsynthError(
                f"{path.parent} holds no {PREPARATION_FILE}: is it a run or a folder of samples?"
            ) from None
        except (OSError, ValueError):
            raise MedsynthError(f"{PREPARATION_FILE} is cut short; make the folder anew") from None
        return cls.from_json(content)

    def samples_in(self, arrays: CaseArrays) -> Iterator[tuple[dict[str, NDArray[Any]], Any]]:
        """The samples in one case: the volume itself, or its slices. In units, clipped to the range.

        Yields the images by name and the label map or None. A channel scaled by each
        volume's own percentiles is brought to the run's one range for all.
        """
        images = {}
        for channel in self.layout.images:
            low, high = arrays.ranges[channel.name]
            scaled = np.clip((arrays.images[channel.name].array - low) / (high - low), 0, 1)
            images[channel.name] = (scaled * (channel.high - channel.low) + channel.low).astype(np.float32)
        label = None if arrays.label is None else arrays.label.array.astype(np.int32)
        slices = self.resampling.slices
        if slices is None:
            yield images, label
            return
        for position in slices.positions(arrays.images[self.layout.images[0].name].array.shape):
            cut = {name: slices.cut(array, position) for name, array in images.items()}
            yield cut, None if label is None else slices.cut(label, position)


def with_channels(records: Sequence[CaseRecord], names: Sequence[str]) -> list[CaseRecord]:
    """The records that have every channel of `names`; others (an MR beside CTs, say) are left aside."""
    return [record for record in records if all(name in record.channels for name in names)]


def load_prepared(folder: Path, preparation: Preparation, splits: Sequence[Split] = SPLITS) -> list[PreparedCase]:
    """Real cases of `folder` in the form of samples.

    Args:
        folder: CASES, as ingest left it.
        preparation: from the run or the folder of samples.
        splits: which of "train", "validation", "test" to load.

    Raises:
        MedsynthError: these are not the cases that the model was trained on, or a file
            was changed since ingest.
    """
    records = read_records(folder / CASES_FILE, CaseRecord)
    if cases_digest(records) != preparation.cases_sha256:
        raise MedsynthError(
            "these are not the cases that the model was trained on: name the folder of cases that "
            "the run was trained with"
        )
    split = split_patients(records, preparation.split)
    label = preparation.layout.label.name if preparation.layout.label else None
    prepared: list[PreparedCase] = []
    made = {image.name: preparation.intensity[image.name] for image in preparation.layout.images}
    wanted = [*made, *([label] if label else [])]
    for record in with_channels(records, wanted):
        if split.get(record.patient) in splits:
            arrays = read_case(folder, record, made, label, preparation.resampling)
            parts = preparation.samples_in(arrays)
            prepared.extend(PreparedCase(record, split[record.patient], images, mask) for images, mask in parts)
    return prepared


def cases_digest(records: Sequence[CaseRecord]) -> str:
    """One hash for a folder of cases: of its records' hashes, in their order."""
    return sha256_json([record.sha256 for record in records])

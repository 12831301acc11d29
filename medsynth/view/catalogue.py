"""What can be looked at: a list made of records, before anything is served. Nothing outside it can be asked for."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from medsynth.audit_record import AuditRecord, SampleVerdict
from medsynth.data.contact_sheet import COLOURS
from medsynth.data.preparation import PREPARATION_FILE, Preparation
from medsynth.errors import MedsynthError, UsageError
from medsynth.files import inside
from medsynth.records import CASES_FILE, SAMPLES_FILE, CaseRecord, Channel, SampleRecord, read_records
from medsynth.view.nearest import Nearest, nearest_cases

Kind = Literal["synthetic", "real", "file"]
_ENDINGS = (".nii.gz", ".nii")


class Window(NamedTuple):
    """Values that are shown black and white, in the channel's units."""

    low: float
    high: float


@dataclass(frozen=True)
class VolumeFile:
    """One NIfTI file that may be shown.

    Args:
        folder: whose file it is.
        path: below it, with forward slashes.
        name: of the channel.
        kind: "image" or "label".
        units: of the values; empty where nothing says.
        sha256: what its bytes have to be; None for a file without a record.
        window: None where nothing says.
    """

    folder: Path
    path: str
    name: str
    kind: Literal["image", "label"]
    units: str = ""
    sha256: str | None = None
    window: Window | None = None

    @property
    def ending(self) -> str:
        """How its name ends: .nii.gz or .nii."""
        return next((ending for ending in _ENDINGS if self.path.endswith(ending)), _ENDINGS[0])

    @property
    def place(self) -> Path:
        """The path, which is inside the folder."""
        return inside(self.folder, self.path)

    def read(self) -> bytes:
        """Its bytes, as recorded.

        Raises:
            MedsynthError: it leads out of the folder, is missing, or was changed.
        """
        try:
            content = self.place.read_bytes()
        except (OSError, ValueError):
            raise MedsynthError(f"the file of channel {self.name} is missing; make the folder anew") from None
        if self.sha256 is not None and hashlib.sha256(content).hexdigest() != self.sha256:
            raise MedsynthError(f"the file of channel {self.name} was changed since it was recorded")
        return content


@dataclass(frozen=True)
class Entry:
    """One thing to look at.

    Args:
        id: of the record, or the path of a file below its folder.
        kind: "synthetic", "real", or "file" where nothing says which.
        volumes: at least one image, the label map if there is one.
        labels: name of each value of the label map.
        facts: what is said beside the picture, by name.
        filters: the facts that the gallery filters by.
        verdict: of the audit; empty where there is none.
        reason: why it is no pass.
        nearest: the training case that the audit names, where it is there.
    """

    id: str
    kind: Kind
    volumes: tuple[VolumeFile, ...]
    labels: Mapping[int, str]
    facts: Mapping[str, str]
    filters: Mapping[str, str]
    verdict: str = ""
    reason: str = ""
    nearest: Nearest | None = None

    @property
    def images(self) -> list[VolumeFile]:
        """All but the label map."""
        return [volume for volume in self.volumes if volume.kind == "image"]

    @property
    def label(self) -> VolumeFile | None:
        """The label map."""
        return next((volume for volume in self.volumes if volume.kind == "label"), None)

    def to_json(self, number: int) -> dict[str, Any]:
        """For the page: plain JSON types, addresses relative to it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "verdict": self.verdict,
            "reason": self.reason,
            "facts": dict(self.facts),
            "filters": dict(self.filters),
            "thumbnail": f"thumbnail/{number}.png",
            "labels": [
                {"value": value, "name": name, "colour": list(COLOURS[(value - 1) % len(COLOURS)])}
                for value, name in sorted(self.labels.items())
                if value > 0
            ],
            "volumes": [
                {
                    "name": volume.name,
                    "kind": volume.kind,
                    "units": volume.units,
                    "url": volume_address(number, index, volume),
                    "window": list(volume.window) if volume.window else None,
                }
                for index, volume in enumerate(self.volumes)
            ],
            "nearest": self.nearest._asdict() if self.nearest else None,
        }


def volume_address(number: int, index: int, volume: VolumeFile) -> str:
    """Address of a volume, relative to the page; the browser tells packed files by their ending."""
    return f"volume/{number}-{index}{volume.ending}"


def catalogue(
    samples: Path | None = None, audit: Path | None = None, cases: Path | None = None, folder: Path | None = None
) -> list[Entry]:
    """Everything to look at: samples first, then cases, then files.

    Args:
        samples: SAMPLES.
        audit: AUDIT of these samples.
        cases: CASES.
        folder: any folder; one of samples or of cases is taken as such, of another the NIfTI files.

    Raises:
        UsageError: nothing is given, or an audit without samples.
        MedsynthError: a folder that is not what it should be; an audit of other samples.
    """
    for key, given in {"samples": samples, "audit": audit, "cases": cases, "folder": folder}.items():
        if given is not None and not given.is_dir():
            raise MedsynthError(f"{key} names no folder: {given}")
    if folder is not None:
        samples, cases = _as_records(folder, samples, cases)
        folder = None if folder in (samples, cases) else folder
    if samples is None and cases is None and folder is None:
        raise UsageError("nothing to look at: give samples=SAMPLES, cases=CASES or folder=DIR")
    if audit is not None and samples is None:
        raise UsageError("audit is of samples: give samples=SAMPLES")
    made = read_records(samples / SAMPLES_FILE, SampleRecord) if samples else []
    real = read_records(cases / CASES_FILE, CaseRecord) if cases else []
    windows = _windows(samples)
    verdicts = AuditRecord.read(audit).require(samples) if audit and samples else {}
    numbers = {record.id: len(made) + number for number, record in enumerate(real)}
    pairs = nearest_cases(audit, numbers) if audit else {}
    entries = [_of_sample(samples, one, windows, verdicts, pairs) for one in made] if samples else []
    entries += [_of_case(cases, one, windows) for one in real] if cases else []
    entries += list(_of_files(folder)) if folder else []
    if not entries:
        raise MedsynthError(f"{folder} holds no NIfTI file (.nii, .nii.gz)")
    return entries


def _as_records(folder: Path, samples: Path | None, cases: Path | None) -> tuple[Path | None, Path | None]:
    if samples is None and (folder / SAMPLES_FILE).is_file():
        return folder, cases
    if cases is None and (folder / CASES_FILE).is_file():
        return samples, folder
    return samples, cases


def _windows(samples: Path | None) -> dict[str, Window]:
    """By channel, what the model was shown as black and white: one window for samples and cases."""
    if samples is None or not (samples / PREPARATION_FILE).is_file():
        return {}
    layout = Preparation.read(samples / PREPARATION_FILE).layout
    return {channel.name: Window(channel.low, channel.high) for channel in layout.images}


def _volumes(folder: Path, channels: Mapping[str, Channel], windows: Mapping[str, Window]) -> tuple[VolumeFile, ...]:
    found = [
        VolumeFile(folder, one.path, name, one.kind, one.units, one.sha256, windows.get(name))
        for name, one in channels.items()
    ]
    if not any(volume.kind == "image" for volume in found):
        return tuple(VolumeFile(v.folder, v.path, v.name, "image", v.units, v.sha256) for v in found)
    return tuple(sorted(found, key=lambda volume: volume.kind))


def _told(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{v:g}" if isinstance(v, float) else str(v) for name, v in values.items() if v is not None}


def _words(values: Mapping[str, Any]) -> dict[str, str]:
    """What can be filtered by: short words, not numbers and not texts."""
    return {name: value for name, value in values.items() if isinstance(value, str) and len(value) <= 40}


def _of_sample(
    folder: Path,
    record: SampleRecord,
    windows: Mapping[str, Window],
    verdicts: Mapping[str, SampleVerdict],
    pairs: Mapping[str, Nearest],
) -> Entry:
    found = verdicts.get(record.id)
    facts = {**_told(record.condition), "seed": str(record.seed), "number": str(record.index)}
    facts |= {"derived": "from a scan: part of it is real"} if record.parents else {}
    facts |= {"overrides": ", ".join(record.overrides)} if record.overrides else {}
    return Entry(
        id=record.id,
        kind="synthetic",
        volumes=_volumes(folder, record.channels, windows),
        labels=record.labels,
        facts=facts,
        filters=_words(record.condition),
        verdict=found.verdict if found else "",
        reason=found.reason if found else "",
        nearest=pairs.get(record.id),
    )


def _of_case(folder: Path, record: CaseRecord, windows: Mapping[str, Window]) -> Entry:
    # Of arbitrary units each scan has its own range.
    fitting = {name: windows[name] for name in windows if name in record.channels}
    fitting = {name: window for name, window in fitting.items() if record.channels[name].units != "arbitrary"}
    return Entry(
        id=record.id,
        kind="real",
        volumes=_volumes(folder, record.channels, fitting),
        labels=record.labels,
        facts=_told(record.attributes),
        filters=_words(record.attributes),
    )


def _of_files(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.rglob("*")):
        if path.name.endswith(_ENDINGS) and not path.name.startswith(".") and path.is_file():
            name = path.relative_to(folder).as_posix()
            yield Entry(name, "file", (VolumeFile(folder, name, "image", "image"),), {}, {}, {})

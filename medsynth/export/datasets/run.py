"""Write a data set: choose what goes out, write it in a format, list all files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsynth import __version__
from medsynth.data.progress import progress_bar
from medsynth.export.datasets.bids import require_bids, write_bids
from medsynth.export.datasets.decathlon import require_decathlon, write_decathlon
from medsynth.export.datasets.entry import SOURCES
from medsynth.export.datasets.monai_list import write_monai
from medsynth.export.datasets.nnunet import require_nnunet, write_nnunet
from medsynth.export.datasets.selection import Selection, select
from medsynth.export.datasets.settings import DatasetFormat, DatasetSettings
from medsynth.export.gate import Gate
from medsynth.export.leftovers import PIECE, files_before, require_none_left
from medsynth.files import sha256_file, write_json
from medsynth.records import SPLITS

Writer = Callable[[Path, Selection, DatasetSettings, Callable[[], None]], Path]
_WRITERS: Mapping[DatasetFormat, Writer] = {
    "nnunet": write_nnunet,
    "decathlon": write_decathlon,
    "bids": write_bids,
    "monai": write_monai,
}
_REQUIRED: Mapping[DatasetFormat, Callable[[Selection, DatasetSettings], None]] = {
    "nnunet": require_nnunet,
    "decathlon": require_decathlon,
    "bids": require_bids,
}
"""What is asked of cases and settings before the first file is written."""
_EXPORTER = "medsynth.dataset/1"


@dataclass(frozen=True)
class DatasetReport:
    """What was written, and what stayed behind: cases by split and source, and how many were left out why."""

    cases: Mapping[str, Mapping[str, int]]
    left_out: Mapping[str, int]
    unaudited: int
    folder: Path

    @property
    def summary(self) -> str:
        """For the terminal."""
        parts = [
            f"{split}: " + ", ".join(f"{count} {source}" for source, count in sources.items())
            for split, sources in self.cases.items()
        ]
        said = [f"{'; '.join(parts)} in {self.folder}", *(f"{n} left out: {why}" for why, n in self.left_out.items())]
        if self.unaudited:
            said.append(f"{self.unaudited} went out without a passed audit, and say so")
        return "\n".join(said)


def export_dataset(
    samples: Path,
    gate: Gate,
    out: Path,
    index: str,
    *,
    kind: DatasetFormat,
    settings: DatasetSettings,
    real: Path | None = None,
    uncleared: str | None = None,
    progress: bool = True,
) -> DatasetReport:
    """Write a data set below out/FORMAT and, last, the list of its files; twice gives the same bytes.

    Args:
        samples: SAMPLES.
        gate: what its audit lets out.
        out: folder for all of it.
        index: name of the list.
        kind: format.
        settings: of the data set.
        real: CASES that the generator was trained on, to go with the samples; None for samples alone.
        uncleared: "i_accept" lets real cases out that no identity gate cleared.
        progress: whether to show a bar.

    Raises:
        MedsynthError: see `select`; a file that was changed; a form that the format does not take;
            files of another export in `out`.
    """
    selection = select(samples, gate, kind, settings, real, uncleared)
    if kind in _REQUIRED:
        _REQUIRED[kind](selection, settings)
    before = files_before(out / kind)
    with progress_bar(progress) as bar:
        task = bar.add_task("exporting", total=len(selection.entries), note="")
        folder = _WRITERS[kind](out / kind, selection, settings, lambda: bar.update(task, advance=1))
    require_none_left(out / kind, before)
    write_json(out / index, _listed(out, folder, selection, gate, kind, settings))
    unaudited = sum(entry.verdict not in ("", "pass") for entry in selection.entries)
    return DatasetReport(_counts(selection), selection.left_out, unaudited, folder)


def _counts(selection: Selection) -> dict[str, dict[str, int]]:
    found = {
        split: {source: sum(e.source == source for e in selection.of(split)) for source in SOURCES} for split in SPLITS
    }
    return {
        split: {source: count for source, count in sources.items() if count}
        for split, sources in found.items()
        if any(sources.values())
    }


def _listed(
    out: Path, folder: Path, selection: Selection, gate: Gate, kind: DatasetFormat, settings: DatasetSettings
) -> dict[str, Any]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(PIECE))
    return {
        "schema": "medsynth.export.dataset/1",
        "medsynth": __version__,
        "exporter": _EXPORTER,
        "format": kind,
        "settings": settings.to_json(),
        "folder": folder.relative_to(out).as_posix(),
        "cases": _counts(selection),
        "left_out": selection.left_out,
        "flagged": list(gate.flagged),
        "unaudited": list(gate.unaudited),
        "overrides": list(selection.overrides),
        "files": [{"path": path.relative_to(out).as_posix(), "sha256": sha256_file(path)} for path in files],
    }

"""See which layout a source has, and plan its cases."""

import re
from collections.abc import Mapping
from pathlib import Path

from medsynth.errors import MedsynthError, UsageError
from medsynth.ingest.bids import is_bids, plan_bids
from medsynth.ingest.dataset_json import DATASET_FILE, is_broken, layout_of
from medsynth.ingest.decathlon import plan_decathlon
from medsynth.ingest.dicom_tree import plan_dicom
from medsynth.ingest.inventory import Inventory, count_endings, take_inventory
from medsynth.ingest.nifti_folder import plan_nifti
from medsynth.ingest.nnunet import plan_nnunet
from medsynth.ingest.patients import compile_pattern
from medsynth.ingest.pictures import plan_pictures
from medsynth.ingest.plan import Found
from medsynth.ingest.series_rule import SeriesRule, passed_over
from medsynth.ingest.table import plan_table

LAYOUTS = ("auto", "dicom", "nifti", "decathlon", "nnunet", "bids", "pictures", "csv")


def find_cases(
    source: Path,
    *,
    layout: str = "auto",
    patient_pattern: str | None = None,
    modality: str | None = None,
    workers: int = 1,
    series: SeriesRule | None = None,
    labels: Mapping[int, str] | None = None,
) -> Found:
    """Plan the cases of `source`.

    Args:
        source: a folder, or a CSV file.
        layout: one of LAYOUTS; "auto" looks and refuses what is ambiguous.
        patient_pattern: regular expression whose one group is the patient.
        modality: DICOM code of NIfTI images in the channel "image", None when not known.
        workers: processes that read headers.
        series: which DICOM series become cases; None for all.
        labels: value and name of the structures that are wanted of DICOM label files; None for all.

    Raises:
        MedsynthError: nothing to read, or several layouts at once.
        UsageError: an unknown layout or a pattern that is none.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"layout is one of {', '.join(LAYOUTS)}")
    if modality is not None and not re.fullmatch(r"[A-Z]{2,16}", modality):
        raise UsageError("modality is a DICOM code in capitals, such as CT or MR")
    pattern = compile_pattern(patient_pattern)
    if not source.exists():
        raise MedsynthError(f"{source} does not exist; give source= a folder of scans or a CSV")
    if source.is_file():
        if layout not in ("auto", "csv") or source.suffix.lower() not in (".csv", ".tsv"):
            raise MedsynthError(f"{source} is a file; give source= a folder of scans, or a CSV that names them")
        return plan_table(source, pattern, modality)
    if layout == "csv":
        raise MedsynthError(f"{source} is a folder; with layout=csv give source= the CSV file itself")
    inventory = take_inventory(source)
    chosen = _detect(source, inventory) if layout == "auto" else layout
    _require_some(source, inventory, chosen)
    if chosen == "dicom":
        found = plan_dicom(source, inventory, pattern, workers, series, labels)
    else:
        found = _plan(source, inventory, chosen, pattern, modality, vouched=layout == chosen)
    if not found.cases:
        _require_chosen(found)
        raise MedsynthError(f"{source} is laid out as layout={chosen}, but not one case is in it; give a CSV instead")
    used = {path for case in found.cases for channel in case.channels for path in channel.paths}
    if chosen in ("decathlon", "nnunet"):
        used.add(source / DATASET_FILE)
    return found._replace(aside=count_endings(inventory.without(source, used)))


def _plan(
    source: Path,
    inventory: Inventory,
    layout: str,
    pattern: re.Pattern[str] | None,
    modality: str | None,
    *,
    vouched: bool,
) -> Found:
    if layout == "pictures":
        return plan_pictures(source, inventory, pattern, vouched=vouched)
    if layout == "decathlon":
        return plan_decathlon(source, pattern)
    if layout == "nnunet":
        return plan_nnunet(source, inventory, pattern)
    if layout == "bids":
        return plan_bids(source, inventory, pattern)
    return plan_nifti(source, inventory, pattern, modality)


def _require_chosen(found: Found) -> None:
    """Say why nothing of a DICOM tree is chosen."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in passed_over(found.seen).items())
    if reasons:
        raise MedsynthError(
            f"none of the {len(found.seen)} series is chosen ({reasons}); set series.* or another source"
        )


def _detect(source: Path, inventory: Inventory) -> str:
    kinds = {"dicom": inventory.dicom, "nifti": inventory.nifti, "pictures": inventory.pictures}
    present = [name for name, files in kinds.items() if files]
    if inventory.total == 0:
        raise MedsynthError(f"{source} is empty; give source= a folder of scans")
    if (written := layout_of(source)) and present:
        return written
    if present and is_broken(source):  # taken as plain files they would lose the names of their labels
        ways = " or ".join(f"layout={name}" for name in present)
        raise MedsynthError(
            f"{source / DATASET_FILE} is no JSON or does not name training (the Decathlon) or channel_names (nnU-Net); "
            f"mend it, or set {ways} to take the files without it"
        )
    if not present:
        raise MedsynthError(
            f"{source} holds {len(inventory.other)} files, none of them DICOM, NIfTI, PNG or JPEG; "
            "give source= a folder of scans, or the CSV file that names them"
        )
    if len(present) > 1:
        ways = " or ".join(f"layout={name}" for name in present)
        written = "; layout=pictures takes folders for classes and writes their names down" * ("pictures" in present)
        raise MedsynthError(f"{source} holds {inventory}: set {ways} to say which are meant{written}")
    if present == ["nifti"]:
        return "bids" if is_bids(inventory) else "nifti"
    return present[0]


def _require_some(source: Path, inventory: Inventory, layout: str) -> None:
    of_layout = {"dicom": inventory.dicom, "pictures": inventory.pictures}
    of_layout["nnunet"] = [*inventory.nifti, *inventory.pictures]
    files = of_layout.get(layout, inventory.nifti)
    if not files or (layout == "bids" and not is_bids(inventory)):
        there = str(inventory) if inventory.total else "no files"
        raise MedsynthError(
            f"{source} holds nothing that layout={layout} reads, but {there}; set layout=auto or another source"
        )

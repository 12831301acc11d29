"""What a data set says of itself, in each of its descriptions."""

from medsynth import __version__
from medsynth.export.datasets.entry import Form, one_line
from medsynth.export.datasets.selection import Selection
from medsynth.ingest.plan import modality_of

_NORMALISATIONS = {"ct", "nonorm", "zscore", "rescale_to_0_1", "rescale_0_1", "rgb_to_0_1"}
"""Names that nnU-Net takes for a way to scale intensities."""


def description(selection: Selection, where: str) -> str:
    """One paragraph: what is synthetic, what passed the gates how, what the split is worth.

    Args:
        selection: what goes out.
        where: the file that says which case is real.
    """
    synthetic = [entry for entry in selection.entries if entry.source == "synthetic"]
    real = len(selection.entries) - len(synthetic)
    derived = sum(bool(entry.people) for entry in synthetic)
    said = [f"SYNTHETIC{' IN PART' if real or derived else ''}: {len(synthetic)} cases made by medsynth {__version__}."]
    if derived:
        said.append(f"{derived} of them were made from scans of patients and are in part real.")
    if real:
        said.append(f"{real} cases are real; which is which stands in {where}.")
        said.append("The generator has learnt from the real training cases, and was chosen by those of validation.")
    for sentence in dict.fromkeys(one for entry in synthetic for one in entry.said):
        said.append(sentence)
    said.append(f"Overrides before this export: {'; '.join(selection.overrides) or 'none'}.")
    said += [f"{count} left out: {why}." for why, count in selection.left_out.items()]
    return one_line(" ".join(said))


def licences(selection: Selection) -> str:
    """Those of all scans behind it; "unknown" where none is said."""
    found = {one_line(licence) for entry in selection.entries for licence in entry.licences}
    return "; ".join(sorted(found)) or "unknown"


def channel_words(form: Form) -> list[str]:
    """What dataset.json calls the image channels, in the form's order: "CT" is HU, and nothing else may be.

    nnU-Net takes this word for its normalisation, and `medsynth ingest` for the units.
    """
    return ["CT" if units == "HU" else _other(name) for name, units in form.images.items()]


def _other(name: str) -> str:
    return f"{name}_image" if name.lower() in _NORMALISATIONS or modality_of(name) == "CT" else name

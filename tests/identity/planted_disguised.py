"""Invented identities that no word and no long number gives away, and those that are missed, each with its reason."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tests.identity.clean_files import clean_dicom, save
from tests.identity.planted_files import Plant

_TEXTS = {
    "number of six digits": "Thorax 493027",
    "number of five digits": "49302",
    "number of six digits and a full stop": "record 493027.",
    "number as tables write it": "Thorax 49302.0",
    "letters with blanks between": "Thorax Q U A N D T",
    "letters with full stops between": "Q.u.a.n.d.t",
    "letters with dashes between": "Q-U-A-N-D-T",
    "digits of a day with blanks between": "1 9 6 1 0 5 0 3",
    "hexadecimal digits of a name": "Thorax 7175616e6474",
    "hexadecimal digits of a name and a day": "51756164742031392E30332E3631",
    "decomposed letters": unicodedata.normalize("NFD", "Thorax Jörg Krüger"),
}
_FILES = ("493027.dcm", "49302_1.dcm", "pat_493027.dcm", "pt-49302_0001.dcm", "Q_U_A_N_D_T.dcm", "Q-U-A-N-D-T_1.dcm")
MISSED = {
    "Thorax 4930": "four digits and fewer are years, milliseconds, pixels",
    "Li Wu": "two letters are no word, and neither element nor title says that they are a name",
    "Hand": "a word of anatomy",
    "3f9a01bc7d": "hexadecimal digits that are no text are pseudonyms, hashes and keys",
}
"""Texts of a descriptor in which no finding is, and why; one that is found some day is to be taken out."""


def plants_in_disguise() -> Iterator[Plant]:
    """One a text, and one a file name."""
    for place, text in _TEXTS.items():
        yield Plant(f"disguised: {place}", lambda folder, text=text: described(text, folder / "IM-0001.dcm"))
    for name in _FILES:
        yield Plant(f"disguised, file name {name}", lambda folder, name=name: save(clean_dicom(), folder / name))


def described(text: str, path: Path) -> Path:
    """A file that says nothing but this text."""
    dataset = clean_dicom()
    dataset.SpecificCharacterSet, dataset.SeriesDescription = "ISO_IR 192", text
    return save(dataset, path)

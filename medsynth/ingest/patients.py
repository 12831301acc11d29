r"""Which patient a file belongs to, as far as its name tells.

In the chest set of Kermany et al. (2018) `personN` is numbered anew in the test part:
train_person12 and test_person12 may be two children or one. They get one key: too few
patients is safe, one child on both sides of a split is not. Its NORMAL files are known
by their IM number alone, with a second numbering marked NORMAL2; a guess, so "presumed".
"""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from medsynth.errors import UsageError

_BY_NAME = (
    (re.compile(r"^(sub)-([a-z0-9]+)", re.IGNORECASE), "pattern"),  # as BIDS has it, whatever the subject is called
    (re.compile(r"(?:^|[^a-z])(person)[_-]?0*(\d+)", re.IGNORECASE), "pattern"),
    (re.compile(r"(?:^|[^a-z])(patient)[_-]?0*(\d+)", re.IGNORECASE), "pattern"),
    (re.compile(r"_(sub)-([a-z0-9]+)", re.IGNORECASE), "pattern"),
    (re.compile(r"(?:^|_)((?:normal2-)?IM)-0*(\d+)", re.IGNORECASE), "presumed"),
)


class Patient(NamedTuple):
    """What identifies a patient (not yet a pseudonym), and where that comes from."""

    identity: str
    source: str


def compile_pattern(pattern: str | None) -> re.Pattern[str] | None:
    """Check a user's `patient_pattern`.

    Raises:
        UsageError: it is no regular expression with exactly one group.
    """
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"patient_pattern is no regular expression: {error}") from None
    if compiled.groups != 1:
        raise UsageError(f"patient_pattern has {compiled.groups} groups; give exactly one, around the patient")
    return compiled


def patient_of(relative: PurePosixPath, pattern: re.Pattern[str] | None) -> Patient | None:
    r"""The patient of the file at `relative`, below the source.

    A user's pattern is searched in the whole relative path, the known ones in the file
    name. Without either, one file is one patient, presumed.

    Returns:
        None when the user's pattern does not fit.

    >>> patient_of(PurePosixPath("PNEUMONIA/test_person12_virus_3.jpg"), None)
    Patient(identity='person:12', source='pattern')
    >>> patient_of(PurePosixPath("NORMAL/train_NORMAL2-IM-0533-0001.jpg"), None)
    Patient(identity='normal2-im:533', source='presumed')
    >>> patient_of(PurePosixPath("sub-Patient01_T1w.nii.gz"), None)
    Patient(identity='sub:patient01', source='pattern')
    >>> patient_of(PurePosixPath("a/b_c.nii.gz"), re.compile("([^/]+)/"))
    Patient(identity='a', source='pattern')
    """
    if pattern is not None:
        match = pattern.search(relative.as_posix())
        return Patient(match[1], "pattern") if match and match[1] else None
    for known, source in _BY_NAME:
        match = known.search(relative.name)
        if match:
            return Patient(f"{match[1].lower()}:{match[2].lower()}", source)
    return presumed(relative)


def presumed(relative: PurePosixPath) -> Patient:
    """One file, one patient: a guess."""
    return Patient(f"file:{relative.as_posix()}", "presumed")

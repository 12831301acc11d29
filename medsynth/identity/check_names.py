"""Whether the names of files and folders name anyone."""

import re
from pathlib import PurePosixPath

from medsynth.identity.finding import Findings, Found
from medsynth.identity.shapes import judge, shapes

_SUFFIXES = re.compile(
    r"(\.(dcm|dicom|ima|nii|gz|json|jsonl|csv|tsv|txt|md|ya?ml|png|jpe?g|bvals?|bvecs?|hdr|img|ckpt|html))+$",
    re.IGNORECASE,
)
# What scanners and exporters call their files: a short kind, and numbers in the order of the series.
# Behind what means a patient, five digits that are not filled up with zeros are a hospital's number.
_NUMBERED = re.compile(
    r"(?<![^\W_])((im|img|image|i|s|slice|se|ser|series|st|study|mr|ct|us|cr|dx|case|sub|ses|run|vol|volume|file|frame"
    r"|person|echo|sample|step|from|version|v|e)[-_]?\d{1,6}|(pa|pat|pt)[-_]?(\d{1,4}|0\d{4,5}))([-_]\d{1,6}){0,3}(?![^\W_])",
    re.IGNORECASE,
)
# As exporters count: 000012_image, 00000012.dcm, IM00000J.
_COUNTED = re.compile(r"(?<![^\W_])(?<!\d-)(?:0\d{4,5}|0{1,8}\d{1,4}|IM0{3,}[0-9A-Z]{1,2})(?![^\W_]|-\d)")
# Splits of a data set, before a name or as a folder's.
_SPLIT = re.compile(r"(?<![^\W_])(train|valid|val|test)(?=[-_]|$)", re.IGNORECASE)
_OWN = re.compile(r"(?<![^\W_])(?:[pc][0-9a-f]{16}|[0-9a-f]{32,64}|2\.25\.(?:\d{1,5}|\d{24,39}))(?![^\W_])")
_KIND = re.compile(r"(?<![^\W\d_])[^\W\d_]+[-_]?")
# What numbers in a row may be all the same: pt_555-123-4567, pat-123-45-6789.
_TELEPHONE = re.compile(r"(?<!\d)(?:[2-9]\d\d-[2-9]\d\d-\d{4}|[1-8]\d\d-\d\d-\d{4})(?!\d)")


def check_names(relative: PurePosixPath, findings: Findings) -> None:
    """Judge the parts of a path below the folder that is checked."""
    for depth, part in enumerate(relative.parts, 1):
        if part == ".hydra":  # the settings' folder in what medsynth writes
            continue
        last = depth == len(relative.parts)
        findings.add_all(judge_name(part), "file name" if last else f"folder name {depth}")


def judge_name(name: str) -> list[Found]:
    """What a file's or folder's name gives away.

    >>> judge_name("val_IM-0001-0012.dcm"), [kind for kind, _ in judge_name("voss_ada_19610503.nii.gz")]
    ([], ['date', 'words'])
    """
    text = _SPLIT.sub(" ", _OWN.sub(" ", _SUFFIXES.sub("", name)))
    numbers = _KIND.sub(" ", text).replace("_", "-")  # case-1961-05-03, v1961.05.03
    meant = [found for found in shapes(numbers) if found.kind == "date"]
    meant += [Found("number", match[0]) for match in _TELEPHONE.finditer(numbers)]
    left = judge(_COUNTED.sub(" ", _NUMBERED.sub(" ", text)).replace("_", " "))
    return [*left, *(found for found in meant if found.kind not in {one.kind for one in left})]

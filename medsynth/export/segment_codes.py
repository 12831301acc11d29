"""Codes of segments: SNOMED CT for names that are known, else a private code that says the label's name."""

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

PRIVATE_SCHEME = "99MEDSYNTH"
"""PS3.16 8.2: designators of local schemes begin with 99."""
_SNOMED: Mapping[str, Code] = {
    "abdomen": codes.SCT.Abdomen,
    "adrenal gland": codes.SCT.AdrenalGland,
    "aorta": codes.SCT.Aorta,
    "bladder": codes.SCT.Bladder,
    "urinary bladder": codes.SCT.Bladder,
    "bone": codes.SCT.Bone,
    "bones": codes.SCT.Bone,
    "brain": codes.SCT.Brain,
    "cerebellum": codes.SCT.Cerebellum,
    "colon": codes.SCT.Colon,
    "duodenum": codes.SCT.Duodenum,
    "esophagus": codes.SCT.Esophagus,
    "oesophagus": codes.SCT.Esophagus,
    "gallbladder": codes.SCT.Gallbladder,
    "heart": codes.SCT.Heart,
    "hippocampus": codes.SCT.Hippocampus,
    "inferior vena cava": codes.SCT.InferiorVenaCava,
    "kidney": codes.SCT.Kidney,
    "kidneys": codes.SCT.Kidney,
    "left atrium": codes.SCT.LeftAtrium,
    "left ventricle": codes.SCT.LeftVentricle,
    "liver": codes.SCT.Liver,
    "lung": codes.SCT.Lung,
    "lungs": codes.SCT.Lung,
    "lymph node": codes.SCT.LymphNode,
    "pancreas": codes.SCT.Pancreas,
    "portal vein": codes.SCT.PortalVein,
    "prostate": codes.SCT.Prostate,
    "rib": codes.SCT.Rib,
    "ribs": codes.SCT.Rib,
    "right ventricle": codes.SCT.RightVentricle,
    "skin": codes.SCT.Skin,
    "small intestine": codes.SCT.SmallIntestine,
    "spinal cord": codes.SCT.SpinalCord,
    "spine": codes.SCT.Spine,
    "spleen": codes.SCT.Spleen,
    "stomach": codes.SCT.Stomach,
    "thalamus": codes.SCT.Thalamus,
    "thyroid": codes.SCT.Thyroid,
    "trachea": codes.SCT.Trachea,
    "uterus": codes.SCT.Uterus,
    "vertebra": codes.SCT.Vertebra,
    "vertebrae": codes.SCT.Vertebra,
}
_TISSUE: Mapping[str, Code] = {
    "fat": codes.SCT.Fat,
    "muscle": codes.SCT.Muscle,
    "white matter": codes.SCT.WhiteMatter,
    "gray matter": codes.SCT.GrayMatter,
    "grey matter": codes.SCT.GrayMatter,
}
_ABNORMAL: Mapping[str, Code] = {
    "cyst": codes.SCT.Cyst,
    "edema": codes.SCT.Edema,
    "oedema": codes.SCT.Edema,
    "hemorrhage": codes.SCT.Hemorrhage,
    "haemorrhage": codes.SCT.Hemorrhage,
    "lesion": codes.SCT.Lesion,
    "mass": codes.SCT.Mass,
    "necrosis": codes.SCT.Necrosis,
    "neoplasm": codes.SCT.Neoplasm,
    "nodule": codes.SCT.Nodule,
    "tumor": codes.SCT.Neoplasm,
    "tumour": codes.SCT.Neoplasm,
}
_SIDES: Mapping[str, Code] = {"left": codes.SCT.Left, "right": codes.SCT.Right}


class SegmentCode(NamedTuple):
    """Category and type of a segment (PS3.3 C.8.20.2), and its side where the name begins or ends with one."""

    category: Code
    type: Code
    side: Code | None


def segment_code(name: str) -> SegmentCode:
    """The code of a label's name; blanks, underscores and case do not matter.

    >>> segment_code("Left_Kidney").type.meaning, segment_code("Left_Kidney").side.meaning
    ('Kidney', 'Left')
    >>> segment_code("anterior").type.scheme_designator
    '99MEDSYNTH'
    """
    words = re.sub(r"[\s_-]+", " ", name).strip().lower()
    for table, category in (
        (_SNOMED, codes.SCT.AnatomicalStructure),
        (_TISSUE, codes.SCT.Tissue),
        (_ABNORMAL, codes.SCT.MorphologicallyAbnormalStructure),
    ):
        if words in table:
            return SegmentCode(category, table[words], None)
        for side, code in _SIDES.items():
            bare = re.sub(rf"^{side} | {side}$", "", words)
            if bare != words and bare in table:
                return SegmentCode(category, table[bare], code)
    value = f"L{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:12]}".upper()
    return SegmentCode(
        codes.SCT.SpatialAndRelationalConcept, Code(value, PRIVATE_SCHEME, plain_name(name) or "label"), None
    )


def plain_name(name: str) -> str:
    """At most 64 characters without what a long string may not hold (PS3.5 6.2: LO)."""
    fine = "".join(letter if letter.isprintable() and letter != "\\" else "_" for letter in name)
    return fine.encode("utf-8", "replace").decode()[:64].strip()

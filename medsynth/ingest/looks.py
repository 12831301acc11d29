"""What the gate sees in the voxels: text that is burned in, and faces."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.data.dicom_file import quiet, read_header
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.identity.faces import REASONS, blank_face, find_face
from medsynth.identity.picture_text import TextFinder
from medsynth.identity.volume_text import blank_text_in, find_text
from medsynth.ingest.gate import Gate, GateError, Note

_MOST_LABELS = 200


class _Declared(NamedTuple):
    """An element of DICOM that says what is to be seen (PS3.3 C.7.6.1), the kind of finding, and the gate's key."""

    keyword: str
    place: str
    kind: str
    key: str
    what: str


_DECLARED = (
    _Declared("BurnedInAnnotation", "(0028,0301)", "text", "text", "burned-in text"),
    _Declared("RecognizableVisualFeatures", "(0028,0302)", "face", "faces", "who it is"),
)


def require_eyes(gate: Gate) -> None:
    """Refuse to begin where pictures are to be looked at and what finds text in them does not work here.

    Raises:
        MedsynthError: so; the message names the extra.
    """
    if not gate.looks or gate.text == "allow":
        return
    finder = _finder()
    try:
        finder.find(np.indices((32, 32)).sum(0))
    except Exception:  # a package that is broken fails in any way
        raise MedsynthError(
            "what finds text in pictures is installed and does not work: pip install --force-reinstall "
            "rapidocr-onnxruntime, or take text=allow, which does not look"
        ) from None


def look(
    gate: Gate, array: NDArray[Any], geometry: Geometry, modality: str | None, *, label: bool = False
) -> tuple[NDArray[Any], list[Note]]:
    """Look at an image or label map and do with text and face what the gate says.

    Args:
        gate: that the case passes.
        array: (X, Y) or (X, Y, Z).
        geometry: its place.
        modality: DICOM code, None where it is not known.
        label: it is called a label map. It is looked at for a face only where it has more values than label maps have,
            and may be a scan that lies in the wrong folder.

    Returns:
        The image, with text and face blanked where that was asked for, and what was found.

    Raises:
        GateError: it shows what the gate refuses, or it could not be looked at.
    """
    if not gate.looks:
        return array, []
    notes: list[Note] = []
    try:
        if gate.text != "allow":
            array, notes = _text(gate, array, geometry)
        if geometry.rank == 3 and not (label and len(np.unique(array)) <= _MOST_LABELS):
            array, seen = _face(gate, array, geometry, modality)
            notes += seen
    except GateError:
        raise
    except MedsynthError as error:
        raise GateError(str(error), [Note("unseen", "voxels", "", "refused")]) from None
    except Exception:  # what fails has not looked
        raise GateError(
            "its voxels could not be looked at for text and faces; exclude the case",
            [Note("unseen", "voxels", "", "refused")],
        ) from None
    return array, notes


def require_seen(gate: Gate, paths: Sequence[Path], notes: Sequence[Note]) -> list[Note]:
    """Refuse DICOM files that say that they show text or a face, where none was found: what is not seen is no pass.

    Args:
        gate: that the case passes.
        paths: of the files.
        notes: what was found in their voxels.

    Returns:
        What the files say and the gate allows.

    Raises:
        GateError: so.
    """
    seen = {note.kind for note in notes}
    open_ones = [one for one in _DECLARED if gate.looks and one.kind not in seen]
    allowed: dict[Note, None] = {}
    if not open_ones:
        return []
    with quiet():
        for path in paths:
            header = read_header(path, [one.keyword for one in open_ones])
            for one in open_ones:
                if str(header.get(one.keyword, "")).strip().upper() != "YES":
                    continue
                if getattr(gate, one.key) == "allow":
                    allowed[Note("declared", one.place, "", "allowed")] = None
                else:
                    raise GateError(
                        f"its file says that it shows {one.what}, and none was found; look at it, and exclude it or "
                        f"take {one.key}=allow",
                        [Note("declared", one.place, "", "refused")],
                    )
    return list(allowed)


def _text(gate: Gate, array: NDArray[Any], geometry: Geometry) -> tuple[NDArray[Any], list[Note]]:
    if gate.text == "blank":
        array, places = blank_text_in(array, geometry, _finder())
        return array, [Note("text", place, "", "blanked") for place in places]
    notes = [Note("text", place, "", "refused") for place in find_text(array, geometry, _finder())]
    if notes:
        raise GateError(
            "text is burned into its picture; text=blank blanks it, text=allow takes it and does not look", notes
        )
    return array, []


def _face(gate: Gate, array: NDArray[Any], geometry: Geometry, modality: str | None) -> tuple[NDArray[Any], list[Note]]:
    face = find_face(array, geometry, modality)
    if face is None:
        return array, []
    if gate.faces == "allow":
        return array, [Note("face", face.why, "", "allowed")]
    refused = [Note("face", face.why, "", "refused")]
    if gate.faces == "refuse":
        raise GateError(
            f"it may show a face: {REASONS[face.why]}; faces=blank takes the face away, faces=allow takes the case so",
            refused,
        )
    try:
        return blank_face(array, geometry, face), [Note("face", face.why, "", "blanked")]
    except MedsynthError:
        raise GateError(
            f"it may show a face that cannot be blanked: {REASONS[face.why]}; look at it, and exclude it or take "
            "faces=allow",
            refused,
        ) from None


@cache
def _finder() -> TextFinder:
    return TextFinder()

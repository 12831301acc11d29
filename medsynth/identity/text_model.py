"""Boxes that may hold text in an 8-bit picture, from a detector whose models lie in its package."""

import functools
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medsynth.errors import MedsynthError

_SHORTER, _MOST_LARGER, _LONGER, _MOST_SMALLER = 736, 4.0, 1500, 0.5
_STEP = 32  # the network halves five times
SURE = 0.9
"""Confidence of the recogniser from which it does not read a crop upside down too."""


class Candidate(NamedTuple):
    """Where text may be.

    Args:
        left: of the box, in pixels of the picture, as the next three.
        top: its first row.
        right: its last column.
        bottom: its last row.
        score: of the detector, 0 to 1.
        text: what the recogniser reads. It is compared and then forgotten, and told nobody.
        confidence: of the recogniser, 0 to 1.
        turned: it was read upside down.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float
    text: str
    confidence: float
    turned: bool = False


def require_model() -> None:
    """Nothing, where the detector is installed.

    Raises:
        MedsynthError: it is not.
    """
    if find_spec("rapidocr_onnxruntime") is None:
        raise MedsynthError(
            "text in pictures is looked for with rapidocr-onnxruntime, which is not installed: "
            "pip install '.[text-detection]' in the folder of medsynth's source"
        )


@functools.cache
def _engine() -> Any:
    require_model()
    from rapidocr_onnxruntime import RapidOCR

    # One thread: the same bits each time, and worker processes do not fight for cores. The size is `_scaled`'s.
    return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1, det_limit_side_len=_STEP)


def find_candidates(picture: NDArray[np.uint8], least_score: float) -> list[Candidate]:
    """Boxes by differentiable binarisation (Liao et al. 2020), each one read (PP-OCRv4 of PaddleOCR).

    The models are loaded once a process.

    Args:
        picture: (rows, columns, 3).
        least_score: of the detector; boxes below it are left out.

    Raises:
        MedsynthError: the models are not installed.
    """
    engine = _engine()
    scaled = _scaled(picture)
    detector = engine.text_det
    prepared = detector.get_preprocess(max(scaled.shape[:2]))(scaled)
    quads, scores = detector.postprocess_op(detector.infer(prepared)[0], scaled.shape[:2])
    kept = [(detector.order_points_clockwise(quad), float(score)) for quad, score in zip(quads, scores, strict=True)]
    kept = [(quad, score) for quad, score in kept if score >= least_score and _sides(quad).min() >= 1]
    if not kept:
        return []
    read = _readings(engine, engine.get_crop_img_list(scaled, [quad for quad, _ in kept]))
    back = np.array(picture.shape[1::-1]) / scaled.shape[1::-1]
    found = []
    for (quad, score), (text, confidence, turned) in zip(kept, read, strict=True):
        low, high = quad.min(0) * back, quad.max(0) * back
        corners = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        found.append(Candidate(*corners, score, text, confidence, turned))
    return found


def _readings(engine: Any, crops: list[NDArray[np.uint8]]) -> list[tuple[str, float, bool]]:
    """What is read in each crop, how surely, and whether it stands on its head.

    The detector finds text however it is turned, and what is higher than wide is laid on its side; the recogniser reads
    what stands upright. So what it is not sure of is read upside down too.
    """
    read = [(str(text), float(confidence), False) for text, confidence in engine.text_rec(crops)[0]]
    unsure = [number for number, (_, confidence, _) in enumerate(read) if confidence < SURE]
    if unsure:
        turned, _ = engine.text_rec([np.ascontiguousarray(crops[number][::-1, ::-1]) for number in unsure])
        for number, (text, confidence) in zip(unsure, turned, strict=True):
            if confidence > read[number][1] and sum(one.isalnum() for one in text) > 1:
                read[number] = (str(text), float(confidence), True)
    return read


def _sides(quad: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lengths of two sides of a quadrangle (4, 2)."""
    lengths: NDArray[np.float32] = np.linalg.norm(quad[[1, 3]] - quad[0], axis=1)
    return lengths


def _scaled(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The shorter side 736 pixels but no more than four times as large, the longer 1500 but no less than half."""
    rows, columns = picture.shape[:2]
    factor = min(_MOST_LARGER, max(1.0, _SHORTER / min(rows, columns)))
    factor = min(factor, max(_LONGER / max(rows, columns), _MOST_SMALLER))
    size = [max(round(side * factor / _STEP), 1) * _STEP for side in (columns, rows)]
    return np.asarray(Image.fromarray(picture).resize((size[0], size[1]), Image.Resampling.BICUBIC))

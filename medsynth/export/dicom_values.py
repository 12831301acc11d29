"""Values as DICOM stores them, exactly where whole numbers allow it, and the windows that show them."""

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.valuerep import DSfloat

from medsynth.errors import MedsynthError
from medsynth.export.dicom_settings import Kind

_CT_INTERCEPT = -1024
_STEPS = 65535
_SOFT_TISSUE = (-160.0, 240.0)


class Stored(NamedTuple):
    """A value is array * slope + intercept (PS3.3 C.11.1); `exact` where nothing was rounded."""

    array: NDArray[Any]
    slope: float
    intercept: float
    exact: bool


class Window(NamedTuple):
    """Centre and width in the image's units, and what it is for (PS3.3 C.11.2.1.2)."""

    centre: float
    width: float
    name: str


def stored(values: NDArray[Any], kind: Kind) -> Stored:
    """Store a channel in at most 16 bits, one scale for all its slices.

    Whole numbers that fit are stored as they are (CT with the usual intercept of -1024). Others are spread over
    65,535 steps between their lowest and highest value: no voxel is off by more than half a step. PET has no
    intercept (PS3.3 C.8.9.4), so its steps begin at 0, or are signed.

    Args:
        values: finite, in units.
        kind: of object.

    Raises:
        MedsynthError: fractions for DX, which scales nothing.
    """
    lowest, highest = float(values.min()), float(values.max())
    whole = bool((np.rint(values) == values).all())
    offset = _CT_INTERCEPT if kind == "CT" and lowest >= _CT_INTERCEPT else 0
    types = ("u1", "u2", "i2") if kind in ("CR", "DX", "SC") else ("u2", "i2")
    for start, dtype in itertools.product((offset, 0), types):
        bounds = np.iinfo(dtype)
        if whole and lowest - start >= bounds.min and highest - start <= bounds.max:
            return Stored((values.astype(np.int64) - start).astype(f"<{dtype}"), 1.0, float(start), True)
    if kind == "DX":
        raise MedsynthError("its values have fractions, which DX cannot scale; set dicom.modality to CR or SC for it")
    if kind == "PT":
        signed = lowest < 0
        slope = decimal(max(abs(lowest), highest) / (32767 if signed else _STEPS) * (1 + 1e-9)) or 1.0
        steps = np.clip(np.rint(values / slope), *((-32768, 32767) if signed else (0, _STEPS)))
        return Stored(steps.astype("<i2" if signed else "<u2"), slope, 0.0, False)
    intercept = decimal(lowest)
    slope = decimal((highest - intercept) / _STEPS * (1 + 1e-9)) if highest > lowest else 1.0
    steps = np.clip(np.rint((values.astype(np.float64) - intercept) / slope), 0, _STEPS)
    return Stored(steps.astype("<u2"), slope, intercept, False)


def decimal(value: float) -> float:
    """What a decimal string of at most 16 characters (PS3.5 6.2) holds of a number."""
    return float(str(decimal_string(value)))


def decimal_string(value: float) -> DSfloat:
    """A decimal string of at most 16 characters, never "-0"."""
    return DSfloat(value + 0.0, auto_format=True)


def windows(values: NDArray[Any], kind: Kind) -> list[Window]:
    """Windows that show the image at once, the best one first.

    CT: the usual three, soft tissue first; where hardly any voxel lies in that one, the range of the image goes
    first. Others: the middle 98.5 % of what lies above the lowest value; of PET from 0 on; a picture of 8 bits as
    it is.
    """
    if kind in ("CR", "DX", "SC") and values.min() >= 0 and 1 < values.max() <= 255:
        return [Window(128, 256, "FULL RANGE")]
    above = values[values > values.min()]
    low, high = (float(v) for v in np.percentile(above, (1, 99.5))) if above.size else (float(values.min()),) * 2
    if high <= low:  # two values alone
        low = float(values.min())
    if kind == "PT" and low >= 0:
        low = 0.0
    automatic = Window(low + (high - low) / 2, max(high - low, 1e-6), "AUTOMATIC")
    if kind != "CT":
        return [automatic]
    usual = [Window(40, 400, "SOFT TISSUE"), Window(-600, 1500, "LUNG"), Window(400, 1800, "BONE")]
    inside = ((values > _SOFT_TISSUE[0]) & (values < _SOFT_TISSUE[1])).mean()
    return [*usual, automatic] if inside >= 0.02 else [automatic, *usual]

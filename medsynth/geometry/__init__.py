"""Where voxels lie in space: the only room that knows LPS and DICOM orientation.

Inside medsynth an array is indexed (i, j) or (i, j, k) and a 4x4 affine takes the
index to millimetres in RAS+ (+x to the patient's right, +y to the front, +z to the
head), as nibabel does. DICOM and ITK use LPS: the first two axes change sign.
A 2D image has two indices and the same 4x4 affine, with k = 0.
"""

from medsynth.geometry.alignment import plane_on_grid
from medsynth.geometry.facing import Facing, Plane, facing
from medsynth.geometry.place import LPS_TO_RAS, Geometry, LpsPlace, require_straight
from medsynth.geometry.slices import DicomPlane, Stack, dicom_planes, stack_slices

__all__ = [
    "LPS_TO_RAS",
    "DicomPlane",
    "Facing",
    "Geometry",
    "LpsPlace",
    "Plane",
    "Stack",
    "dicom_planes",
    "facing",
    "plane_on_grid",
    "require_straight",
    "stack_slices",
]

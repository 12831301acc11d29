"""Segmentations and contours still lie on the images they refer to."""

from pathlib import Path

import numpy as np

from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_file import quiet, read_header
from medsynth.data.dicom_labels import LabelHeader, label_header, read_labels
from medsynth.identity.removal_files import RemovalTask, remove_from_file
from tests.data.test_dicom_labels import NAMES, blobs, circle, ct, write_contours, write_seg

KEY = bytes(range(32))


def after(path: Path, out: Path) -> Path:
    done = remove_from_file(RemovalTask(path, out, KEY))
    assert done.reason == ""
    return out / done.path


def header_of(path: Path) -> LabelHeader:
    with quiet():
        return label_header(read_header(path))


def test_a_segmentation_is_of_the_same_voxels_of_the_same_images(tmp_path: Path) -> None:
    sources = ct(tmp_path / "s")
    seg = write_seg(tmp_path / "seg" / "x", sources, blobs())
    images = [after(path, tmp_path / "out") for path in sources]
    labels = after(seg, tmp_path / "out")
    image = read_dicom(images)
    np.testing.assert_array_equal(read_labels(labels, image.geometry, NAMES), read_labels(seg, image.geometry, NAMES))
    assert header_of(labels).names == header_of(seg).names == NAMES
    with quiet():
        assert header_of(labels).series == {str(read_header(images[0]).SeriesInstanceUID)}
        assert header_of(labels).instances == {str(read_header(path).SOPInstanceUID) for path in images}


def test_contours_enclose_the_same_voxels_of_the_same_series(tmp_path: Path) -> None:
    sources = ct(tmp_path / "s")
    grid = read_dicom(sources).geometry
    with quiet():
        first = read_header(sources[0])
        series, instance = str(first.SeriesInstanceUID), str(first.SOPInstanceUID)
    drawn = {"Liver": [(1, circle((3, 2), 1.6))], "Doe": [(2, circle((2, 2), 1.2))]}
    contours = write_contours(tmp_path / "rt" / "x", series, grid, drawn, instances=[instance])
    image, labels = after(sources[0], tmp_path / "out"), after(contours, tmp_path / "out")
    values = read_labels(labels, grid, {1: "Liver"})
    assert values.any()
    np.testing.assert_array_equal(values, read_labels(contours, grid, {1: "Liver"}))
    with quiet():
        assert header_of(labels).series == {str(read_header(image).SeriesInstanceUID)}
        assert header_of(labels).instances == {str(read_header(image).SOPInstanceUID)}
    assert "Liver" in header_of(labels).names.values()
    assert "Doe" not in header_of(labels).names.values()

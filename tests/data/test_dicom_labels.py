"""Segmentations and contours as label maps: as highdicom reads them, and by the theory of areas."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medsynth.data.dicom import read_dicom
from medsynth.data.dicom_file import quiet
from medsynth.data.dicom_labels import RTSTRUCT_CLASS, read_labels
from medsynth.data.nifti import read_nifti
from medsynth.data.polygons import fill_even_odd
from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import LPS_TO_RAS, Geometry
from medsynth.ingest.layouts import find_cases
from medsynth.ingest.run import ingest
from medsynth.records import CaseRecord, read_records
from tests.data.test_dicom import oblique, values, write_series

hd = pytest.importorskip("highdicom", reason="highdicom writes the segmentations")


def item(**values):
    part = Dataset()
    for name, value in values.items():
        setattr(part, name, value)
    return part


def ct(folder: Path, geometry=None, shape=(6, 5, 4)) -> list[Path]:
    """A series with all that highdicom asks of a source image."""

    def whole(dataset, k):
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID, dataset.PatientName = "1.2.3", "1.2.4", "Nobody^"
        for name in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
            setattr(dataset, name, "")
        dataset.ReferringPhysicianName = dataset.PositionReferenceIndicator = ""
        dataset.Modality, dataset.InstanceNumber, dataset.SeriesNumber, dataset.Manufacturer = "CT", k + 1, 1, "x"
        dataset.SliceThickness = "1"

    folder.parent.mkdir(exist_ok=True)
    return write_series(folder, geometry or oblique(3), values(shape=shape), whole)


def write_seg(path: Path, sources: list[Path], masks, kind="BINARY", skip=True) -> Path:
    """`masks`: (column, row, slice, segment) in the order of the slices' positions."""
    images = sorted((pydicom.dcmread(source) for source in sources), key=lambda image: image.InstanceNumber)
    code = hd.sr.CodedConcept("123037004", "SCT", "Anatomical Structure")
    described = [
        hd.seg.SegmentDescription(
            segment_number=number + 1,
            segment_label=("liver", "tumour")[number],
            segmented_property_category=code,
            segmented_property_type=code,
            algorithm_type="MANUAL",
        )
        for number in range(masks.shape[-1])
    ]
    frames = np.ascontiguousarray(masks.transpose(2, 1, 0, 3))
    if kind == "LABELMAP":
        frames = (frames * np.arange(1, frames.shape[-1] + 1)).max(-1).astype(np.uint8)
    seg = hd.seg.Segmentation(
        source_images=images,
        pixel_array=frames,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=skip,
    )
    path.parent.mkdir(exist_ok=True)
    seg.save_as(path)
    return path


NAMES = {1: "liver", 2: "tumour"}


def blobs(shape=(6, 5, 4)):
    """A large and a small segment that overlap, with an empty slice."""
    masks = np.zeros((*shape, 2), dtype=np.uint8)
    masks[1:5, 1:4, :3, 0] = 1
    masks[3:6, 2:4, 1:3, 1] = 1
    return masks


def one_map(masks):
    return np.where(masks[..., 1], 2, masks[..., 0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("skip", [True, False])
def test_a_segmentation_lies_on_its_image_and_the_smaller_segment_is_seen(tmp_path, seed, kind, skip):
    sources = ct(tmp_path / "s", oblique(seed))
    path = write_seg(tmp_path / "seg" / "x", sources, blobs(), kind, skip)
    image = read_dicom(sources)
    array = read_labels(path, image.geometry, NAMES)
    assert array.dtype == np.uint8
    assert np.array_equal(array, one_map(blobs()))


def test_segments_that_are_not_named_are_left_out(tmp_path):
    sources = ct(tmp_path / "s")
    path, grid = write_seg(tmp_path / "seg" / "x", sources, blobs()), read_dicom(sources).geometry
    assert np.array_equal(read_labels(path, grid, {7: " Liver "}), 7 * blobs()[..., 0])
    with pytest.raises(UnreadableError, match="none of the structures that are wanted"):
        read_labels(path, grid, {1: "kidney"})


def test_a_segmentation_on_another_grid_is_refused_with_how_far_off(tmp_path):
    sources = ct(tmp_path / "s")
    path, grid = write_seg(tmp_path / "seg" / "x", sources, blobs()), read_dicom(sources).geometry
    half = np.eye(4)
    half[:3, 3] = 0.3, 0, 0
    with pytest.raises(GeometryError, match=r"0\.30 voxels off the image's grid"):
        read_labels(path, Geometry(grid.shape, grid.affine @ half), NAMES)
    with pytest.raises(GeometryError, match="pixels are of another size"):
        read_labels(path, Geometry(grid.shape, grid.affine @ np.diag([0.5, 0.5, 1, 1])), NAMES)
    cut = np.eye(4)
    cut[:3, 3] = 2, 0, 0
    with pytest.raises(GeometryError, match="pixels of a segment lie outside the image"):
        read_labels(path, Geometry((4, 5, 4), grid.affine @ cut), NAMES)


def test_a_segmentation_cut_short_is_refused(tmp_path):
    sources = ct(tmp_path / "s")
    path, grid = write_seg(tmp_path / "seg" / "x", sources, blobs()), read_dicom(sources).geometry
    whole = path.read_bytes()
    for share in (0.3, 0.8, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UnreadableError):
            read_labels(path, grid, NAMES)


# contours


def write_contours(path: Path, series: str, grid: Geometry, structures, instances=()) -> Path:
    """`structures`: name -> list of (slice, corners in pixels), all in the grid's own indices."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = RTSTRUCT_CLASS
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID, dataset.PatientID, dataset.Modality = generate_uid(), "Nobody", "RTSTRUCT"
    study = item(RTReferencedSeriesSequence=[item(SeriesInstanceUID=series)])
    dataset.ReferencedFrameOfReferenceSequence = [item(RTReferencedStudySequence=[study])]
    dataset.StructureSetROISequence = [item(ROINumber=k + 3, ROIName=name) for k, name in enumerate(structures)]
    images = [item(ReferencedSOPInstanceUID=uid) for uid in instances]
    dataset.ROIContourSequence = []
    for k, contours in enumerate(structures.values()):
        drawn = []
        for slice_index, corners in contours:
            corners = np.asarray(corners, dtype=float)
            index = np.column_stack([corners, np.full(len(corners), slice_index), np.ones(len(corners))])
            points = (LPS_TO_RAS @ grid.affine @ index.T)[:3].T
            contour = item(ContourGeometricType="CLOSED_PLANAR", ContourData=[f"{v:.9f}"[:16] for v in points.ravel()])
            if images:
                contour.ContourImageSequence = images
            drawn.append(contour)
        dataset.ROIContourSequence.append(item(ReferencedROINumber=k + 3, ContourSequence=drawn))
    path.parent.mkdir(exist_ok=True)
    with quiet():
        dataset.save_as(path, enforce_file_format=True)
    return path


def circle(middle, radius, corners=720):
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.column_stack([middle[0] + radius * np.cos(turn), middle[1] + radius * np.sin(turn)])


@pytest.mark.parametrize("seed", range(4))
def test_contours_fill_what_they_enclose_with_holes_on_an_oblique_grid(tmp_path, seed):
    grid = Geometry.centred((70, 60, 5), (0.7, 1.3, 2.5), direction=oblique(seed).direction, centre=(9, 8, 7))
    ring = [(2, circle((35, 30), 25.3)), (2, circle((35, 30), 10.2)), (3, circle((20, 20), 6.1))]
    spot = [(2, circle((50, 30), 4.2))]
    path = write_contours(tmp_path / "x", "1.2", grid, {"ring": ring, "spot": spot})
    array = read_labels(path, grid, {1: "ring", 2: "spot"})
    i, j = np.meshgrid(np.arange(70), np.arange(60), indexing="ij")
    away = np.hypot(i - 35, j - 30)
    expected = np.zeros(grid.shape, int)
    expected[:, :, 2] = (away < 25.3) & (away > 10.2)
    expected[:, :, 3] = np.hypot(i - 20, j - 20) < 6.1
    expected[:, :, 2][np.hypot(i - 50, j - 30) < 4.2] = 2
    assert (array != expected).mean() < 1e-4  # polygons of 720 corners are not quite circles


def test_polygons_are_filled_as_another_library_fills_them():
    path = pytest.importorskip("matplotlib.path").Path
    rng = np.random.default_rng(0)
    i, j = np.meshgrid(np.arange(40), np.arange(30), indexing="ij")
    for _ in range(40):
        turn = np.sort(rng.uniform(0, 2 * np.pi, 12))
        reach = rng.uniform(2, 18, 12)
        corners = np.column_stack([18 + reach * np.cos(turn), 14 + reach * np.sin(turn)])
        theirs = path(corners).contains_points(np.column_stack([i.ravel(), j.ravel()])).reshape(40, 30)
        assert np.array_equal(fill_even_odd([corners], (40, 30)), theirs)


@pytest.mark.parametrize(
    ("contour", "message"),
    [
        ([(1.4, circle((3, 2), 1))], r"lies between slices, 1\.00 mm from the nearest"),
        ([(9, circle((3, 2), 1))], "outside the image"),
        ([(1, circle((30, 2), 1))], "outside the image"),
    ],
)
def test_contours_that_are_not_of_the_image_are_refused(tmp_path, contour, message):
    grid = Geometry.centred((6, 5, 4), (1, 1, 2.5))
    path = write_contours(tmp_path / "x", "1.2", grid, {"a": contour})
    with pytest.raises(GeometryError, match=message):
        read_labels(path, grid, {1: "a"})
    path = write_contours(tmp_path / "y", "1.2", grid, {"a": [(1, circle((3, 2), 1))]})
    sagittal = Geometry(grid.shape, grid.affine[:, [2, 1, 0, 3]])
    with pytest.raises(GeometryError, match="does not lie in a slice"):
        read_labels(path, sagittal, {1: "a"})


# through ingest


def test_label_files_become_label_maps_of_the_series_that_they_refer_to(tmp_path):
    one, other, third = (ct(tmp_path / "s" / name, oblique(k)) for k, name in enumerate(("a", "b", "c")))
    write_seg(tmp_path / "s" / "seg" / "x", one, blobs())
    series = pydicom.dcmread(other[0]).SeriesInstanceUID
    grid = read_dicom(other).geometry
    corners = [(0.5, 0.5), (3.5, 0.5), (3.5, 3.5), (0.5, 3.5)]
    write_contours(tmp_path / "s" / "rt" / "x", series, grid, {"Spleen": [(1, corners)], "Liver": [(2, corners)]})
    write_contours(tmp_path / "s" / "rt" / "y", "1.2.999", grid, {"Lung": [(1, corners)]})
    found = find_cases(tmp_path / "s")
    fates = sorted((seen.kind.partition(",")[0], seen.passed) for seen in found.seen)
    assert fates == [
        *[("CT", "")] * 3,
        ("RTSTRUCT", ""),
        ("RTSTRUCT", "the series that it refers to is not there or not chosen"),
        ("SEG", ""),
    ]
    assert found.aside == {"other": 1}
    ingest(tmp_path / "s", tmp_path / "out", identity="trust", key=tmp_path / "key", workers=1, progress=False)
    records = {record.geometry.centre.round(2).tobytes(): record for record in records_of(tmp_path / "out")}
    names = {1: "Liver", 2: "Spleen", 3: "tumour"}
    for sources, expected in ((one, {1: 28, 3: 12}), (other, {1: 9, 2: 9}), (third, None)):
        image = read_dicom(sources)
        record = records[image.geometry.centre.round(2).tobytes()]
        if expected is None:
            assert set(record.channels) == {"ct"}
            continue
        assert record.labels == names
        label = read_nifti(tmp_path / "out" / record.channels["label"].path)
        assert label.geometry.is_close(image.geometry)
        assert {v: int((label.array == v).sum()) for v in np.unique(label.array) if v} == expected
    chosen = {"identity": "trust", "key": tmp_path / "key", "workers": 1, "progress": False, "labels": {"5": "spleen"}}
    ingest(tmp_path / "s", tmp_path / "spleen", **chosen)
    assert {5: "spleen"} in [record.labels for record in records_of(tmp_path / "spleen")]
    assert "none of the structures that are wanted" in (tmp_path / "spleen" / "refused.jsonl").read_text()


def records_of(folder):
    return read_records(folder / "cases.jsonl", CaseRecord)


def test_two_label_files_of_one_series_refuse_it(tmp_path):
    one = ct(tmp_path / "s" / "a")
    other = ct(tmp_path / "s" / "b", oblique(1))
    for name in ("x", "y"):
        write_seg(tmp_path / "s" / "seg" / name, one, blobs())
    assert [case.refusal for case in find_cases(tmp_path / "s").cases].count(None) == 1
    assert len(other) == 4

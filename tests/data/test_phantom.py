from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from scipy import ndimage

from medsynth.data.nifti import read_nifti
from medsynth.data.phantom import PHANTOM_LABELS, PhantomScan, make_scan
from medsynth.data.phantom_anatomy import Points, ellipsoid, tube
from medsynth.data.phantom_files import oblique, on_table, write_phantom
from medsynth.errors import MedsynthError
from medsynth.geometry import LPS_TO_RAS, DicomPlane, Geometry, stack_slices

COARSE = {"shape": (32, 32, 24), "spacing": (12.0, 12.0, 16.0)}
VALUE = {name: value for value, name in PHANTOM_LABELS.items()}


def centroid(mask, geometry: Geometry):
    return geometry.affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + geometry.affine[:3, 3]


def test_a_scan_is_a_function_of_seed_patient_and_scan() -> None:
    first, again = make_scan(3, 1, seed=5), make_scan(3, 1, seed=5)
    for name in ("ct", "mr", "label"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.ct.dtype == first.mr.dtype == np.float32
    assert first.label.dtype == np.uint8
    others = [make_scan(3, 0, seed=5), make_scan(2, 1, seed=5), make_scan(3, 1, seed=6)]
    assert all((first.label != other.label).mean() > 0.01 for other in others)


def test_anatomy_is_the_patients_and_pose_the_scans() -> None:
    def overlap(a: PhantomScan, b: PhantomScan) -> float:
        """Dice of the organs, apart from where they lie."""
        masks = []
        for scan in (a, b):
            organ = np.isin(scan.label, [VALUE["liver"], VALUE["lungs"], VALUE["heart"]]).astype(np.float32)
            shift = (np.array(organ.shape) - 1) / 2 - ndimage.center_of_mass(organ)
            masks.append(ndimage.shift(organ, shift, order=1) > 0.5)
        return 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum())

    scans = {(p, s): make_scan(p, s, **COARSE) for p in range(6) for s in range(2)}
    same = [overlap(scans[p, 0], scans[p, 1]) for p in range(6)]
    other = [overlap(scans[p, 0], scans[q, 1]) for p, q in pairwise(range(6))]
    assert np.mean(same) > np.mean(other) + 0.01
    assert all(scans[p, 0].attributes["lesion"] == scans[p, 1].attributes["lesion"] for p in range(6))


@pytest.mark.parametrize("grid", [{}, COARSE], ids=["6mm", "12mm"])
def test_every_organ_is_there_distinct_and_in_its_place(grid) -> None:
    for patient in range(8):
        scan = make_scan(patient, 0, **grid)
        place = {
            name: centroid(scan.label == value, scan.geometry) for name, value in VALUE.items() if name != "lesion"
        }
        assert all(np.isfinite(where).all() for where in place.values())
        hu = {name: scan.ct[scan.label == VALUE[name]].mean() for name in place}
        # Contrast is early or late: heart and liver have no fixed order, but each stands out from what is around it.
        assert hu["lungs"] < -600 < hu["body"] < min(hu["liver"], hu["heart"]) - 20
        assert max(hu["liver"], hu["heart"]) < hu["spine"]
        assert scan.ct[scan.label == 0].mean() < -960
        assert place["liver"][0] > 20 > 0 > place["heart"][0]
        assert place["spine"][1] < place["heart"][1] - 40
        assert place["lungs"][2] > place["heart"][2] - 30 > place["liver"][2] - 30
        outside = ndimage.binary_dilation(scan.label == 0)
        assert not (outside & (scan.label == VALUE["lungs"])).any()
        assert ndimage.label(scan.label > 0)[1] <= 3


def test_some_patients_have_a_lesion_inside_its_organ() -> None:
    sites = [make_scan(p, 0, shape=(4, 4, 4), spacing=(90, 90, 90)).attributes["lesion"] for p in range(60)]
    assert {"none", "liver", "lung"} == set(sites)
    assert 0.2 < np.mean([site != "none" for site in sites]) < 0.6
    for patient in [p for p, site in enumerate(sites) if site != "none"][:6]:
        scan = make_scan(patient, 0)
        lesion = scan.label == VALUE["lesion"]
        assert lesion.sum() >= 15
        ring = ndimage.binary_dilation(lesion, iterations=2) & ~lesion
        organ = VALUE["lungs" if sites[patient] == "lung" else "liver"]
        assert (scan.label[ring] == organ).mean() > 0.6
    assert not (make_scan(sites.index("none"), 0).label == VALUE["lesion"]).any()


def test_edges_take_part_of_each_side_and_volumes_do_not_depend_on_the_grid() -> None:
    fine, coarse = make_scan(1, 0), make_scan(1, 0, **COARSE)
    for name in ("body", "lungs", "liver", "heart", "spine"):
        volumes = [(s.label == VALUE[name]).sum() * np.prod(s.geometry.spacing) for s in (fine, coarse)]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.08 if name != "spine" else 0.15)
    edge = ndimage.binary_dilation(fine.label == 0) & (fine.label > 0)
    between = (fine.ct > -850) & (fine.ct < -250)
    assert between[edge].mean() > 0.3


def test_the_mr_is_paired_and_biased_and_scaled_by_scan() -> None:
    scans = [make_scan(4, s) for s in range(4)]
    fat = [np.median(s.mr[ndimage.binary_dilation(s.label == 0, iterations=3) & (s.label == 1)]) for s in scans]
    assert max(fat) / min(fat) > 1.1
    for scan in scans:
        assert scan.mr.min() >= 0
        assert scan.mr[scan.label == VALUE["liver"]].mean() > 1.3 * scan.mr[scan.label == VALUE["heart"]].mean()
        assert scan.mr[scan.label == 0].mean() < 0.2 * scan.mr[scan.label == VALUE["liver"]].mean()


def test_an_oblique_grid_cuts_the_same_patient() -> None:
    straight, turned = make_scan(2, 0), make_scan(2, 0, direction=oblique(15.0))
    for name in ("liver", "heart"):
        places = [centroid(s.label == VALUE[name], s.geometry) for s in (straight, turned)]
        assert np.linalg.norm(places[0] - places[1]) < 6
    assert np.linalg.norm(np.diff([np.argwhere(s.label == 3).mean(axis=0) for s in (straight, turned)], axis=0)) > 0.7


def test_distances_are_exact_where_that_is_known() -> None:
    axis = np.linspace(-40, 40, 9, dtype=np.float32)
    points = Points(*np.meshgrid(axis, axis, axis, indexing="ij"))
    radius = np.sqrt(points.x**2 + points.y**2 + points.z**2)
    np.testing.assert_allclose(ellipsoid(points, (0, 0, 0), (25, 25, 25)), radius - 25, atol=1e-3)
    np.testing.assert_allclose(tube(points.x, points.y, 20, 20), np.hypot(points.x, points.y) - 20, atol=1e-3)


@pytest.mark.parametrize("tilt", [0.0, 17.0])
def test_dicom_reads_back_in_simpleitk_with_voxels_and_place(tmp_path: Path, tilt: float) -> None:
    grid = {"shape": (24, 20, 12), "spacing": (16.0, 14.5, 31.0)}
    write_phantom(tmp_path / "out", patients=1, scans=2, seed=3, form="dicom", tilt_degrees=tilt, **grid)
    for scan in range(2):
        truth = make_scan(0, scan, seed=3, direction=oblique(tilt) @ LPS_TO_RAS[:3, :3], **grid)
        reader = SimpleITK.ImageSeriesReader()
        for modality, array in (("CT", truth.ct), ("MR", truth.mr)):
            folder = tmp_path / "out" / "patient000" / f"study{scan}" / modality
            reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
            image = reader.Execute()
            place = Geometry.from_lps(image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection())
            assert place.is_close(on_table(truth), 1e-4)
            np.testing.assert_allclose(SimpleITK.GetArrayFromImage(image).T, np.minimum(array, 4095), atol=0.5001)


def test_dicom_headers_are_whole_and_name_nobody(tmp_path: Path, monkeypatch) -> None:
    write_phantom(tmp_path / "out", patients=2, scans=2, seed=0, form="dicom", shape=(8, 8, 6), spacing=(48, 48, 64))
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert len(files) == 2 * 2 * 2 * 6
    assert not any(file.suffix for file in files)
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    headers = [pydicom.dcmread(file) for file in files]
    assert all(str(header) for header in headers)  # decodes every element
    assert {str(h.PatientName) for h in headers} == {"Phantom^Nobody000", "Phantom^Nobody001"}
    assert len({h.PatientID for h in headers}) == 2
    assert len({h.StudyInstanceUID for h in headers}) == 4
    assert len({h.SeriesInstanceUID for h in headers}) == 8
    assert len({h.FrameOfReferenceUID for h in headers}) == 4
    assert len({h.SOPInstanceUID for h in headers}) == len(files)
    assert all(h.SyntheticData == "YES" and h.file_meta.MediaStorageSOPInstanceUID == h.SOPInstanceUID for h in headers)
    ct = sorted(
        (h for h in headers if h.Modality == "CT" and h.PatientID == "PHANTOM-0-000"), key=lambda h: h.StudyDate
    )
    assert len({h.StudyDate for h in ct}) == 2
    series = [h for h in ct if h.StudyInstanceUID == ct[0].StudyInstanceUID]
    slices = [
        DicomPlane(
            tuple(h.ImageOrientationPatient), tuple(h.ImagePositionPatient), tuple(h.PixelSpacing), h.Rows, h.Columns
        )
        for h in series
    ]
    stack = stack_slices(slices)
    assert stack.geometry.spacing == pytest.approx((48, 48, 64))
    numbers = [int(series[i].InstanceNumber) for i in stack.order]
    assert numbers == sorted(numbers, reverse=True), "order must come from positions, not from numbers"


@pytest.mark.parametrize("form", ["dicom", "nifti"])
def test_the_same_arguments_give_the_same_bytes(tmp_path: Path, form) -> None:
    for name in ("a", "b"):
        write_phantom(tmp_path / name, patients=2, scans=1, seed=9, form=form, shape=(8, 8, 6), spacing=(48, 48, 64))
    first = {f.relative_to(tmp_path / "a"): f.read_bytes() for f in (tmp_path / "a").rglob("*") if f.is_file()}
    second = {f.relative_to(tmp_path / "b"): f.read_bytes() for f in (tmp_path / "b").rglob("*") if f.is_file()}
    assert first
    assert first == second


def test_nifti_has_sibling_folders_and_its_geometry(tmp_path: Path) -> None:
    steps: list[int] = []
    write_phantom(
        tmp_path / "out",
        patients=2,
        scans=2,
        seed=1,
        form="nifti",
        tilt_degrees=9,
        progress=lambda: steps.append(1),
        **COARSE,
    )
    assert len(steps) == 4
    names = {f"patient{p:03d}_scan{s}.nii.gz" for p in range(2) for s in range(2)}
    truth = make_scan(1, 1, seed=1, direction=oblique(9), **COARSE)
    for folder, array in (("images", truth.ct), ("mr", truth.mr), ("labels", truth.label)):
        assert {file.name for file in (tmp_path / "out" / folder).iterdir()} == names
        read = read_nifti(tmp_path / "out" / folder / "patient001_scan1.nii.gz")
        assert read.geometry.is_close(truth.geometry, 1e-3)
        np.testing.assert_allclose(read.array, array, atol=0.5001)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(MedsynthError, match="choose another folder"):
        write_phantom(tmp_path, patients=1, scans=1, seed=0, form="nifti", **COARSE)
    with pytest.raises(MedsynthError, match="seed of a phantom population is 0 or more"):
        write_phantom(tmp_path / "out", patients=1, scans=1, seed=-1, form="nifti")
    with pytest.raises(MedsynthError, match="at least 1"):
        write_phantom(tmp_path / "out", patients=0, scans=1, seed=0, form="nifti")
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path / "out", patients=2, scans=1, seed=0, form="nifti", progress=stop, **COARSE)
    assert list(tmp_path.iterdir()) == []

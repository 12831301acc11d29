"""A file is read whole or refused; what is written lies where every reader finds it."""

import gzip
import hashlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from medsynth.data.nifti import read_nifti, read_nifti_channels, write_nifti
from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import Geometry


def oblique(seed: int = 0, shape=(5, 6, 7)) -> Geometry:
    rng = np.random.default_rng(seed)
    return Geometry.centred(
        shape, rng.uniform(0.4, 6, 3), direction=Rotation.random(rng=rng).as_matrix(), centre=rng.uniform(-200, 200, 3)
    )


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("seed", range(3))
def test_voxels_type_and_place_survive(tmp_path, kind, seed):
    geometry = oblique(seed)
    array = np.random.default_rng(seed).integers(0, 100, geometry.shape).astype(kind)
    write_nifti(tmp_path / "a.nii.gz", array, geometry)
    back = read_nifti(tmp_path / "a.nii.gz")
    assert back.array.dtype == kind
    assert (back.array == array).all()
    assert back.geometry.is_close(geometry, 1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_simpleitk_finds_the_same_voxels_at_the_same_place(tmp_path, seed):
    geometry = oblique(seed)
    array = np.random.default_rng(seed).integers(-1000, 1000, geometry.shape).astype(np.int16)
    write_nifti(tmp_path / "a.nii.gz", array, geometry)
    image = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    assert (array == sitk.GetArrayFromImage(image).T).all()
    theirs = Geometry.from_lps(image.GetSize(), image.GetOrigin(), image.GetSpacing(), np.array(image.GetDirection()))
    assert theirs.is_close(geometry, 1e-3)


def test_the_same_array_gives_the_same_bytes_and_nothing_else(tmp_path):
    geometry = oblique()
    digests = set()
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, np.zeros(geometry.shape, np.int16), geometry)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1
    header = nib.load(tmp_path / "a.nii.gz").header
    assert bytes(header["descrip"]).strip(b"\0") == b""
    assert bytes(header["db_name"]).strip(b"\0") == b""


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_truncated_file_is_refused(tmp_path, share, ending):
    geometry = oblique(shape=(20, 20, 20))
    array = np.random.default_rng(0).integers(0, 30000, geometry.shape).astype(np.int16)
    path = tmp_path / f"a{ending}"
    write_nifti(path, array, geometry)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UnreadableError, match="cut short"):
        read_nifti(path)


def test_a_flipped_bit_in_a_packed_file_is_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_nifti(path, np.random.default_rng(0).integers(0, 9, (20, 20, 20)).astype(np.int16), oblique(shape=(20,) * 3))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableError):
        read_nifti(path)


@pytest.mark.parametrize("damage", ["checksum", "length", "trailer", "last byte", "behind"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_packed_file_is_checked_to_its_end(tmp_path, kind, damage):
    path = tmp_path / "a.nii.gz"
    nib.save(kind(np.random.default_rng(0).integers(0, 9, (20, 20, 20)).astype(np.int16), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    if damage in ("checksum", "length"):  # RFC 1952: the last 8 bytes are CRC-32 and length
        content[-8 if damage == "checksum" else -4] ^= 1
    elif damage == "behind":
        content += b"more"
    else:
        del content[-8 if damage == "trailer" else -1 :]
    path.write_bytes(bytes(content))
    for read in (read_nifti, read_nifti_channels):
        with pytest.raises(UnreadableError, match=r"damaged or cut short, .*copy it again from its source"):
            read(path)


def test_a_flipped_bit_in_voxels_that_are_stored_unpacked_is_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    raw = nib.Nifti1Image(np.random.default_rng(0).integers(0, 9, (20, 20, 20)).astype(np.int16), np.eye(4)).to_bytes()
    content = bytearray(gzip.compress(raw, compresslevel=0))
    content[-1000] ^= 1  # still a stream that unpacks: the checksum alone tells
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableError, match="damaged"):
        read_nifti(path)


@pytest.mark.parametrize(
    "content", [b"", b"no scan", gzip.compress(b"no scan"), bytes(400)], ids=["empty", "text", "packed", "zeros"]
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_what_is_no_nifti_is_refused_in_silence(tmp_path, content, name, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableError):
        read_nifti(tmp_path / name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_refused(tmp_path, value):
    array = np.zeros((5, 6, 7), np.float32)
    array[1, 2, 3] = value
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(UnreadableError, match="NaN or infinite"):
        read_nifti(tmp_path / "a.nii.gz")


def test_a_header_without_place_or_with_another_unit_is_refused(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 3, 3), np.int16), None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, tmp_path / "nowhere.nii")
    with pytest.raises(GeometryError, match="neither sform nor qform"):
        read_nifti(tmp_path / "nowhere.nii")
    image = nib.Nifti1Image(np.zeros((3, 3, 3), np.int16), np.eye(4))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "small.nii")
    with pytest.raises(GeometryError, match="micron"):
        read_nifti(tmp_path / "small.nii")
    image.header["xyzt_units"] = 7  # of the three bits for lengths, NIfTI names 0 to 3
    nib.save(image, tmp_path / "odd.nii")
    with pytest.raises(GeometryError, match="units that NIfTI does not know"):
        read_nifti(tmp_path / "odd.nii")


def test_nifti_2_is_read(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nib.save(nib.Nifti2Image(array, np.diag([2.0, 3, 4, 1])), tmp_path / "a.nii.gz")
    assert (read_nifti(tmp_path / "a.nii.gz").array == array).all()


def test_four_dimensions_are_channels_or_refused(tmp_path):
    array = np.arange(120, dtype=np.int16).reshape(2, 3, 4, 5)
    nib.save(nib.Nifti1Image(array, np.diag([2.0, 3, 4, 1])), tmp_path / "a.nii.gz")
    with pytest.raises(UnreadableError, match="4 dimensions"):
        read_nifti(tmp_path / "a.nii.gz")
    volumes = read_nifti_channels(tmp_path / "a.nii.gz")
    assert len(volumes) == 5
    for index, volume in enumerate(volumes):
        assert (volume.array == array[..., index]).all()
        assert volume.geometry.spacing == (2, 3, 4)
    nib.save(nib.Nifti1Image(array[..., :1], np.eye(4)), tmp_path / "b.nii.gz")
    assert read_nifti(tmp_path / "b.nii.gz").array.shape == (2, 3, 4)


def test_scaled_values_are_read_scaled(tmp_path):
    image = nib.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    image.header.set_slope_inter(2.5, -3)
    path = tmp_path / "a.nii"
    nib.save(image, path)
    raw = bytearray(path.read_bytes())  # nibabel rescales on saving: put slope and stored values in by hand
    raw[112:120] = np.array([2.5, -3], "<f4").tobytes()
    raw[352:368] = np.arange(8, dtype="<i2").tobytes()
    path.write_bytes(bytes(raw))
    np.testing.assert_allclose(read_nifti(path).array.ravel(order="F"), np.arange(8) * 2.5 - 3)


def test_an_array_of_another_shape_is_not_written(tmp_path):
    with pytest.raises(GeometryError, match="does not fit"):
        write_nifti(tmp_path / "a.nii.gz", np.zeros((2, 2, 2)), oblique())
    assert not list(tmp_path.iterdir())


@pytest.mark.data
def test_a_real_volume_reads_as_nibabel_says(test_data):
    path = test_data / "hippocampus" / "images" / "hippocampus_001.nii.gz"
    image = nib.load(path)
    volume = read_nifti(path)
    assert (volume.array == image.get_fdata()).all()
    assert (volume.geometry.affine == image.affine).all()
    assert volume.geometry.axcodes == "RAS"

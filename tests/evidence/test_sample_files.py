"""A sample's file is read as it was generated, or refused by the sample's name."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.evidence.sample_files import read_sample_file
from medsynth.files import sha256_file
from medsynth.records import SampleRecord, read_records


@pytest.fixture
def sample(folders, tmp_path):
    images, labels = folders.blobs(2, seed=3)
    folders.write_samples(tmp_path / "s", images, labels, folders.write_cases(tmp_path / "c", images, labels))
    return tmp_path / "s", read_records(tmp_path / "s" / "samples.jsonl", SampleRecord)[1], images[1]


def test_what_was_generated_is_read(sample):
    folder, record, image = sample
    assert np.array_equal(read_sample_file(folder, record, "mr").array, image)
    with pytest.raises(MedsynthError, match="sample sample0001 has no channel ct"):
        read_sample_file(folder, record, "ct")


def test_a_file_that_is_gone_or_changed_is_refused(sample):
    folder, record, _ = sample
    path = folder / record.channels["mr"].path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MedsynthError, match="sample0001: channel mr was changed"):
        read_sample_file(folder, record, "mr")
    path.unlink()
    with pytest.raises(MedsynthError, match="sample0001: the file of channel mr is missing"):
        read_sample_file(folder, record, "mr")


def test_voxels_that_are_no_numbers_are_told_by_the_sample(sample):
    folder, record, image = sample
    path = folder / record.channels["mr"].path
    broken = image.astype(np.float32)
    broken[:2] = np.nan
    nibabel.save(nibabel.Nifti1Image(broken, nibabel.load(path).affine), path)
    channel = replace(record.channels["mr"], sha256=sha256_file(path))
    with pytest.raises(MedsynthError, match=r"^sample sample0001: channel mr is of no use \(voxels are NaN") as caught:
        read_sample_file(folder, replace(record, channels={**record.channels, "mr": channel}), "mr")
    assert str(folder) not in str(caught.value)

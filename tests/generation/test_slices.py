"""Slices cut from volumes come out as volumes of one slice, which viewers place in the patient."""

import numpy as np
import pytest
import SimpleITK as sitk

from medsynth.data.nifti import place_in_itk, read_nifti
from medsynth.data.preparation import Preparation
from medsynth.data.resampling import Resampling, SlicePlan
from medsynth.evidence.evaluate import read_samples
from medsynth.generation.run import generate
from medsynth.models.sampling import SamplingPlan
from medsynth.records import SampleRecord, read_records
from medsynth.training.objective import Objective
from medsynth.training.plan import Schedule
from tests.small import small_data, train_small


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_slice_has_its_place_in_every_reader(make_cases, tmp_path, plane):
    cases = make_cases(tmp_path / "cases")
    across = Resampling(orientation="RAS", spacing=None, size=(8, 8), slices=SlicePlan(plane=plane))
    data = small_data(label="label", resampling=across)
    trainer = Schedule(steps=1, validate_every=1, checkpoint_every=1, preview_every=1, preview_count=0)
    train_small(cases, tmp_path / "run", data, trainer, objective=Objective(warmup=1))
    generate(tmp_path / "run", tmp_path / "samples", count=2, sampler=SamplingPlan(steps=2), progress=False)
    preparation = Preparation.read(tmp_path / "samples")
    for record in read_records(tmp_path / "samples" / "samples.jsonl", SampleRecord):
        assert record.geometry.shape == (8, 8, 1)
        for channel in record.channels.values():
            path = tmp_path / "samples" / channel.path
            volume = read_nifti(path)
            assert volume.geometry.is_close(record.geometry)
            assert place_in_itk(path).is_close(record.geometry, 1e-3)
            assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, volume.array)
            corner = volume.geometry.affine @ (3, 5, 0, 1)
            assert np.allclose(corner, preparation.grid.affine @ (3, 5, 0, 1))
    assert read_samples(tmp_path / "samples", preparation).images["image"].shape == (2, 8, 8)
    assert (tmp_path / "samples" / "contact_sheet.png").is_file()

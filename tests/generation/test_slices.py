"""Slices cut from volumes come out as volumes of one slice, which viewers place in the patient."""

from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk

from medsynth.data.nifti import place_in_itk, read_nifti
from medsynth.data.preparation import Preparation
from medsynth.data.resampling import Resampling, SlicePlan
from medsynth.data.split import SplitPlan
from medsynth.evidence.evaluate import read_samples
from medsynth.generation.run import generate
from medsynth.models.sampling import SamplingPlan
from medsynth.nets.autoencoders import Haar
from medsynth.nets.unet import UNet
from medsynth.records import SampleRecord, read_records
from medsynth.training.objective import Objective
from medsynth.training.plan import DataPlan, ImageInput, Schedule
from medsynth.training.run import train


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_slice_has_its_place_in_every_reader(make_cases, tmp_path, plane):
    cases = make_cases(tmp_path / "cases")
    train(
        cases,
        tmp_path / "run",
        data=DataPlan(
            images=(ImageInput(name="image", kind="window", low=-50, high=250),),
            label="label",
            resampling=Resampling(orientation="RAS", spacing=None, size=(8, 8), slices=SlicePlan(plane=plane)),
            split=SplitPlan(validation=0.2, test=0.2),
            batch_size=2,
        ),
        autoencoder=Haar(),
        model=partial(UNet, features=(8, 8), head_channels=8, norm_groups=4),
        objective=Objective(warmup=1),
        trainer=Schedule(steps=1, validate_every=1, checkpoint_every=1, preview_every=1, preview_count=0),
        cache=tmp_path / "cache",
        precision="fp32",
        threads=1,
        progress=False,
    )
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

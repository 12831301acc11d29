"""Small files of made-up scans, and what a layout planned from them."""

import json

import nibabel as nib
import numpy as np
from PIL import Image


def nifti(path, shape=(3, 4, 5), spacing=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.diag([spacing, spacing, spacing, 1])), path)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)


def channels(case):
    return {channel.name: (channel.kind, channel.modality) for channel in case.channels}


def decathlon(folder, **changes):
    for k in range(2):
        nifti(folder / "imagesTr" / f"x_{k}.nii.gz", (3, 4, 5, 2))
        nifti(folder / "labelsTr" / f"x_{k}.nii.gz")
    nifti(folder / "imagesTs" / "x_9.nii.gz", (3, 4, 5, 2))
    content = {
        "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "1": "edema"},
        "training": [{"image": f"./imagesTr/x_{k}.nii.gz", "label": f"./labelsTr/x_{k}.nii.gz"} for k in range(2)],
        "test": ["./imagesTs/x_9.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps({**content, **changes}))

"""The files of a sample, read as they were when they were generated or not at all."""

from pathlib import Path

from medsynth.data.nifti import Volume, read_nifti
from medsynth.errors import MedsynthError
from medsynth.files import inside, sha256_file
from medsynth.records import SampleRecord


def read_sample_file(folder: Path, record: SampleRecord, name: str) -> Volume:
    """Channel `name` of a sample in SAMPLES.

    Raises:
        MedsynthError: the record lacks the channel; its file is missing, was changed, or holds no volume (NaN).
    """
    if name not in record.channels:
        raise MedsynthError(f"sample {record.id} has no channel {name}, its preparation has; generate anew")
    path = inside(folder, record.channels[name].path)
    if not path.is_file():
        raise MedsynthError(f"sample {record.id}: the file of channel {name} is missing; generate again")
    if sha256_file(path) != record.channels[name].sha256:
        raise MedsynthError(f"sample {record.id}: channel {name} was changed since it was generated; generate again")
    try:
        return read_nifti(path)
    except MedsynthError as error:
        raise MedsynthError(
            f"sample {record.id}: channel {name} is of no use ({error}); leave the sample out"
        ) from None

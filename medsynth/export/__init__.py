"""Samples out to where people work: DICOM. A gate before it, and nothing that is not in the samples."""

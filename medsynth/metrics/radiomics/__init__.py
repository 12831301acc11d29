"""Radiomics after the Image Biomarker Standardisation Initiative, in 2D and 3D; see docs/reference/features.md."""

"""Which bad cases each check claims to catch: a check that lets one of its own through is not measurable."""

from collections.abc import Mapping

from medsynth.metrics import controls as bad

MMD = "MMD"
KID = "KID"
FRECHET = "Frechet distance"
PRECISION = "precision"
RECALL = "recall"
DENSITY = "density"
COVERAGE = "coverage"
TWO_SAMPLE = "two-sample classifier"
SPECTRUM = "power spectrum"
SINGLE_SPECTRA = "power spectrum of single images"
INTENSITY = "intensity"
DIVERSITY = "MS-SSIM diversity"

CLAIMS: Mapping[str, tuple[str, ...]] = {
    MMD: (bad.BLUR, bad.NOISE, bad.AVERAGE, bad.CONSTANT),
    KID: (bad.BLUR, bad.NOISE, bad.CONSTANT, bad.TRIPLED),
    FRECHET: (bad.BLUR, bad.CONSTANT, bad.TRIPLED),
    PRECISION: (bad.BLUR, bad.CONSTANT, bad.TRIPLED),
    RECALL: (bad.REPEATED,),
    DENSITY: (bad.BLUR, bad.CONSTANT, bad.TRIPLED),
    COVERAGE: (bad.REPEATED,),
    TWO_SAMPLE: (bad.BLUR, bad.NOISE, bad.CONSTANT, bad.TRIPLED),
    SPECTRUM: (bad.BLUR, bad.NOISE),
    SINGLE_SPECTRA: (bad.BLUR,),
    INTENSITY: (bad.TRIPLED,),
    DIVERSITY: (bad.REPEATED,),
}
"""Bad cases by check, the same for every feature extractor and every size. Precision, density and Frechet distance are
not asked about 5% noise, recall, density and coverage not about averages: at 25 to 64 scans they may let them pass."""

MODES: Mapping[str, tuple[str, ...]] = {MMD: (bad.DROPPED,)}
"""Claimed on real cases of 25 and more, where benchmarks/sensitivity.py shows them; no line is unmeasurable without."""

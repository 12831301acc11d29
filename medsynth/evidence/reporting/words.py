"""Plain words: what each check asks, and what each abbreviation is short for."""

import re
from collections.abc import Iterable

ASKS: tuple[tuple[str, str], ...] = (
    ("mmd", "Do the features of the synthetic scans, taken together, differ from those of real scans?"),
    ("kid", "Do the features differ in mean, spread or skew? A second way to ask what the first line asks."),
    ("frechet", "How far apart are mean and spread of the features, if there were any number of scans?"),
    ("precision", "What share of the synthetic scans looks like some real scan?"),
    ("recall", "What share of the real scans looks like some synthetic scan, that is, is nothing left out?"),
    ("density", "How deep among the real scans do the synthetic ones lie, instead of at their edge?"),
    ("coverage", "What share of the real scans has a synthetic scan close by?"),
    ("two-sample", "Can a simple classifier learn to tell synthetic from real scans?"),
    ("power spectrum of single", "How many single scans are too smooth or too noisy for a real one?"),
    ("power spectrum", "Are fine details and noise as strong as in real scans, at every size of detail?"),
    ("intensity", "Do dark and bright values occur as often as in real scans?"),
    ("ms-ssim", "Do the synthetic scans differ among themselves as much as real scans do?"),
    ("volume, mean", "Is the marked structure as large as in real scans, on average?"),
    ("volume, sd", "Does its size vary between scans as much as between patients?"),
    ("volume", "Is the size of the marked structure distributed as in real scans?"),
    ("connectivity", "Is the marked structure in one piece where it is in real scans?"),
    ("holes", "Has the marked structure as many tunnels and hollows as in real scans?"),
    ("presence", "Is the marked structure there as often as in real scans?"),
    ("contrast", "Is the marked structure as bright against its surroundings as in real scans?"),
    ("surface", "Is the surface of the marked structure as large as in real scans?"),
    ("sphericity", "Is the marked structure as compact as in real scans?"),
    ("roughness", "Is the surface of the marked structure as smooth as in real scans?"),
    ("place of labels", "Do the marked structures lie to each other as they do in real scans?"),
    ("place", "Do the marked structures lie where they lie in real scans?"),
    ("labels that touch", "Do the marked structures touch each other as often as in real scans?"),
    ("shared border", "Is the border that two marked structures share as large as in real scans?"),
    ("dice", "Does a network that learnt from real scans find the marked structure where the label says?"),
)
"""Beginnings of names of checks, more special ones first, each with its question."""

GLOSSARY: dict[str, str] = {
    "AUC": "area under the curve: how often the right one of two is ranked first; 0.5 is guessing, 1 is always",
    "CT": "computed tomography",
    "DICOM": "the file format of clinical images",
    "Dice": "overlap of two outlines: 0 is none, 1 is the same outline",
    "DPM": "diffusion probabilistic model, in the name of a sampler",
    "EDM": "a form of diffusion model (Karras and others, 2022)",
    "EMA": "exponential moving average of a network's weights",
    "FPR": "false positive rate: share of those who were not in the training that are taken for members",
    "GAN": "generative adversarial network",
    "HU": "Hounsfield units, the scale of computed tomography",
    "IBSI": "the standard for radiomics features",
    "JSON": "a file format for programs",
    "KID": "kernel inception distance, here on the features that are named: 0 for the same distribution",
    "KL": "Kullback-Leibler, a measure of difference between distributions",
    "MMD": "maximum mean discrepancy: 0 for the same distribution, larger the further two sets are apart",
    "MONAI": "a library of networks for medical images",
    "MR": "magnetic resonance imaging",
    "MS-SSIM": "multi-scale structural similarity of two images: 1 for identical ones",
    "NCC": "normalised cross-correlation of two images: 1 for images alike but for brightness and contrast",
    "NIFTI": "a file format of research images",
    "p-value": "how often chance alone gives as much or more, where there is no difference",
    "PET": "positron emission tomography",
    "PNG": "a picture file",
    "RBF": "radial basis function, the Gaussian bell",
    "ROC": "receiver operating characteristic: right finds against false alarms",
    "SD": "standard deviation",
    "SHA-256": "a fingerprint of a file: another content has another one",
    "SUV": "standardised uptake value, in positron emission tomography",
    "TPR": "true positive rate: share of those who were in the training that are found",
}
"""Shown on the page where they occur in it."""

_TAGS = re.compile(r"<style>.*?</style>|<[^>]*>", re.DOTALL)


def asks(check: str) -> str:
    """What a check asks, in one sentence; says so where this version has no words for it."""
    for beginning, question in ASKS:
        if check.casefold().startswith(beginning):
            return question
    return "This version has no plain words for this check; docs/reference/evaluation.md may."


def visible(html: str) -> str:
    """The text of a page, without its tags and style."""
    return _TAGS.sub(" ", html)


def glossary(text: str, terms: Iterable[str] = GLOSSARY) -> list[tuple[str, str]]:
    """Every term that occurs in the text, with its meaning, in alphabetical order."""
    found = [term for term in terms if re.search(rf"(?<![\w-]){re.escape(term)}(?!\w)", text)]
    return [(term, GLOSSARY[term]) for term in sorted(found, key=str.casefold)]

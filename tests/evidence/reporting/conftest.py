"""Finished folders as evaluate, audit, utility, generate and train leave them, with little in them."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from medsynth.evidence.audit.verdict import flagged_reason
from medsynth.files import sha256_file, sha256_json, write_json
from medsynth.models.sealed import write_sealed
from medsynth.records import SampleRecord, read_records

BLUR, NOISE = "reals blurred by 1 mm or a voxel", "reals with 5% noise"


def picture(path: Path, seed: int, shape: tuple[int, int] = (40, 60)) -> dict[str, str]:
    """A PNG of noise, with a text inside that nobody may see."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = PngImagePlugin.PngInfo()
    text.add_text("source", "secret-kind")
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)).save(path, pnginfo=text)
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def line(check: str, verdict: str = "met", **more: Any) -> dict[str, Any]:
    """A line of evaluation.json."""
    return {
        "check": check,
        "features": "",
        "subject": "",
        "verdict": verdict,
        "value": 0.0123,
        "low": None,
        "high": 0.02,
        "interval": [0.01, 0.015],
        "real_against_real": {"5%": -0.004, "50%": 0.001, "95%": 0.02},
        "real_passes": 0.95,
        "controls": {BLUR: 1.14, NOISE: None},
        "reason": "",
        "detail": {},
    } | more


def channel(lines: list[dict[str, Any]], name: str = "mr") -> dict[str, Any]:
    """A channel of evaluation.json with all its curves."""
    at = np.linspace(0.05, 0.5, 6)
    spectrum = {"cycles_per_mm": at.tolist(), "synthetic": (-at).tolist(), "real": (-1.1 * at).tolist()}
    spectrum |= {"band": [0.1] * 6, "controls": {BLUR: (-3 * at).tolist(), NOISE: at.tolist()}}  # type: ignore[dict-item]
    null = np.sort(np.random.default_rng(0).normal(0, 0.004, 50)).tolist()
    return {
        "name": name,
        "units": "arbitrary",
        "volume_units": "ml",
        "features": [{"name": "haar", "recipe": "haar_energy_lowres_v1", "sha256": "b" * 64, "count": 17}],
        "lines": lines,
        "together": {
            "value": 2.4,
            "worst": "MMD on haar",
            "bar": 1.6,
            "real": {"5%": 0.6, "50%": 0.9, "95%": 1.5},
            "controls": {BLUR: 50.0, NOISE: 1.2},
            "verdict": "missed",
        },
        "controls": [
            {"name": BLUR, "what": "a Gaussian", "rejected_by": ["MMD on haar"], "verdict": "rejected"},
            {"name": NOISE, "what": "white noise", "rejected_by": [], "verdict": "not measurable"},
        ],
        "curves": {
            "spectrum": spectrum,
            "mmd": {"haar": {"synthetic": 0.0123, "real_against_real": null, "controls": {BLUR: 1.14, NOISE: None}}},
            "intensity": {"shares": [0.1, 0.5, 0.9], "synthetic": [10, 50, 90], "real": [11, 49, 92]},
            "volumes": {"front": {"quantiles": [], "synthetic": [1, 2, 3, 4, 5], "real": [1, 2, 3, 4, 6]}},
        },
    }


def write_evaluation(folder: Path, samples: Path, **inputs: Any) -> Path:
    """EVALUATION of SAMPLES, one group of class "a" and all together, 4 pictures of a kind in each."""
    records = read_records(samples / "samples.jsonl", SampleRecord)
    preparation = json.loads((samples / "preparation.json").read_text())
    groups = []
    for number, name in enumerate(("a", "all")):
        shown = []
        for row in range(8):
            file = f"pictures/{number}_{row}.png"
            kind = "real" if row % 2 else "synthetic"
            shown.append({"file": file, "outlined": None, "kind": kind, "channel": "mr"})
            shown[-1] |= picture(folder / file, seed=row + 10 * number)
        lines = [
            line("MMD", "missed", features="haar"),
            line("volume, mean", subject="front", interval=None, real_against_real=None),
            line("presence", "not measurable", subject="front", reason="at this size it does not reject: labels lost"),
        ]
        groups.append(
            {
                "name": name,
                "samples": 12,
                "samples_used": 10,
                "reference": "held-out",
                "reference_images": 20,
                "real_images": 40,
                "real_patients": 30,
                "training_images": 60,
                "reason": "",
                "channels": [channel(lines)],
                "pictures": shown,
            }
        )
    content = {
        "schema": "medsynth.evaluation/2",
        "verdict": "missed",
        "settings": {"seed": 0, "permutations": 999, "splits": 200, "by": "class", "features": ["haar"]},
        "inputs": {
            "samples_sha256": sha256_file(samples / "samples.jsonl"),
            "cases_sha256": preparation["cases_sha256"],
            "preparation_sha256": sha256_json(preparation),
            "checkpoints": sorted({record.checkpoint for record in records}),
            "samples": len(records),
            "identity": ["cleared"],
            "overrides": [],
            "derived": 0,
            "sampler": dict(records[0].sampler),
        }
        | inputs,
        "notes": ["Patient ids are presumed for 3 of 40 real images."],
        "groups": groups,
    }
    write_json(folder / "evaluation.json", content)
    return folder


def write_audit(folder: Path, samples: Path, verdict: str = "fail") -> Path:
    """AUDIT of SAMPLES with one flagged pair and one near one."""
    records = read_records(samples / "samples.jsonl", SampleRecord)
    inputs = {"samples_sha256": sha256_file(samples / "samples.jsonl"), "samples": len(records), "derived": 0}
    inputs["cases_sha256"] = json.loads((samples / "preparation.json").read_text())["cases_sha256"]
    interval = {"value": 0.53, "low": 0.45, "high": 0.61}
    bad = verdict == "fail"
    content: dict[str, Any] = {
        "schema": "medsynth.audit/1",
        "verdict": verdict,
        "reasons": [flagged_reason(1, len(records)), "membership: AUC 0.85 (0.80 to 0.90)"] if bad else [],
        "overrides": ["presumed=i_accept"],
        "settings": {"seed": 0, "copies": {"false_alarms": 0.05}},
        "inputs": inputs | {"real": {"training_patients": 136, "held_out_patients": 84}},
        "copies": {
            "verdict": verdict,
            "flagged": int(bad),
            "tail_count": {"above": 3, "of": 40, "share": 0.05, "p": 0.4, "least": 9, "smallest_rate": 0.1},
            "smallest_rate": 0.031,
            "families": {"volume": {"threshold": 0.2, "real_gap": [-0.1, 0, 0.1], "sample_gap": [-0.1, 0.02, 0.3]}},
            "controls": {
                "planted": [
                    {"kind": "flip", "what": "a flip", "found": 19, "of": 20, "interval": [0.76, 1], "required": True}
                ],
                "held_out_stand_ins": {"draws": 40, "alarms": 0.025},
            },
            "cannot_tell": ["label maps are not searched"],
        },
        "membership": {"verdict": "cannot-assess", "reason": "too few held-out patients", "area": interval}
        | {"rates": [{"at": 0.1, **interval}], "smallest_area": 0.58}
        | {"controls": {"remembering": interval, "strangers": interval}},
        "samples": [
            {"id": record.id, "sha256": record.sha256, "verdict": "fail" if bad and not row else "pass", "reason": ""}
            for row, record in enumerate(records)
        ],
    }
    write_json(folder / "audit.json", {**content, "sha256": sha256_json(content)})
    pairs = []
    for place, flagged in (("pairs", True), ("nearest", False)):
        picture(folder / place / "s0.png", seed=77)
        entry = {"sample": records[0].id, "case": "case-secret", "flagged": flagged, "search": "volume", "p": 1e-5}
        pairs.append({**entry, "correlation": 0.98, "picture": f"{place}/s0.png"})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return folder


def write_utility(folder: Path, samples: Path, verdict: str = "missed") -> Path:
    """UTILITY with one row."""
    interval = {"value": 0.01, "low": -0.02, "high": 0.04, "error": 0.01, "freedom": None, "parts": {}}
    difference = {"first": "real + synthetic", "second": "real + augmentation", "interval": interval}
    content = {
        "schema": "medsynth.utility/1",
        "verdict": verdict,
        "task": {"name": "segmentation", "score": "Dice", "parts": ["front"]},
        "settings": {"seeds": 2, "share": 0.5},
        "inputs": {
            "cases_sha256": json.loads((samples / "preparation.json").read_text())["cases_sha256"],
            "samples_sha256": ["d" * 64],
        },
        "notes": [],
        "rows": [
            {
                "name": "N = 20",
                "patients": 20,
                "draws": 3,
                "seeds": 2,
                "test_patients": 66,
                "verdict": verdict,
                "reason": "",
                "arms": [{"name": "real", "what": "as they are", "control": False, "score": interval}],
                "differences": [difference | {"must": "be above 0", "holds": False}],
                "controls": [difference | {"must": "", "holds": None}],
            }
        ],
    }
    write_json(folder / "utility.json", content)
    picture(folder / "utility.png", seed=5)
    return folder


def write_run(folder: Path, samples: Path) -> Path:
    """RUN whose weights the samples name; only what a report reads of it."""
    write_sealed(folder / "weights" / "best.ckpt", {"model": {}})
    cases = json.loads((samples / "preparation.json").read_text())["cases_sha256"]
    info = {"cases_sha256": cases, "identity": "cleared", "overrides": [], "licences": ["CC-BY-4.0"]}
    info |= {"patients": {"train": 20, "test": 10}, "patient_keys_presumed": True}
    info["training"] = {"seed": 0, "objective": {"clip": 1.0}, "init_from": None, "environments": [{"torch": "2"}]}
    network = {"_target_": "medsynth.nets.unet.UNet", "rank": 3, "channels": 4}
    write_json(folder / "run.json", {"schema": "medsynth.run/5", "network": network, "info": info})
    return folder


@pytest.fixture(scope="session")
def writers() -> SimpleNamespace:
    return SimpleNamespace(
        evaluation=write_evaluation, audit=write_audit, utility=write_utility, run=write_run, picture=picture
    )


@pytest.fixture(scope="session")
def make_finished(folders, writers):
    """SAMPLES (class `name`, overrides), EVALUATION, AUDIT, UTILITY and RUN under a folder."""

    def make(root: Path, name: str = "a", verdict: str = "fail", **more: Any) -> dict[str, Path]:
        images, labels = folders.blobs(12, seed=1, shape=(8, 9, 7))
        preparation = folders.write_cases(root / "cases", images, labels)
        sealed = write_sealed(root / "run" / "weights" / "best.ckpt", {"model": {}})
        values = {"identity": "cleared", "licences": ("CC-BY-4.0",)} | more
        folders.write_samples(
            root / "samples", images, labels, preparation, classes=[name] * 12, checkpoint=sealed, **values
        )
        overrides = {"overrides": list(values.get("overrides", ())), "identity": [values["identity"]]}
        samples = root / "samples"
        return {
            "samples": samples,
            "evaluation": write_evaluation(root / "evaluation", samples, **overrides),
            "audit": write_audit(root / "audit", samples, verdict),
            "utility": write_utility(root / "utility", samples),
            "run": write_run(root / "run", samples),
        }

    return make


@pytest.fixture(scope="session")
def finished(make_finished, tmp_path_factory):
    return make_finished(tmp_path_factory.mktemp("finished"))

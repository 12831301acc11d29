"""The main job on made-up patients: scans -> cases -> run -> samples -> check and evaluation.

`python scripts/demo.py` prints every command before it runs it, so that the same lines work
on scans of your own. What was done already is not done again. `--short` trains for a moment
only: it shows that the way is whole, not that the samples are good, and asks for no bar.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LABELS = "labels={1: body, 2: lungs, 3: liver, 4: spine, 5: heart, 6: lesion}"


def run(arguments: Sequence[str], shown: Sequence[str] | None = None) -> int:
    """Print a command as one would type it, run it, return its exit status."""
    print(f"\n$ {shlex.join(shown or arguments)}", flush=True)
    # Spinning threads would fight over few cores with whatever else runs there.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    return subprocess.run(arguments, cwd=ROOT, env=environment, check=False).returncode


def medsynth(*arguments: str) -> None:
    status = run([sys.executable, "-m", "medsynth", *arguments], ["medsynth", *arguments])
    if status:
        sys.exit(status)


def script(name: str, *arguments: str) -> int:
    return run([sys.executable, f"scripts/{name}", *arguments], ["python", f"scripts/{name}", *arguments])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a few training steps and samples, into demo-short/")
    parser.add_argument("--out", help="folder below the checkout; default demo or demo-short")
    chosen = parser.parse_args()
    out = chosen.out or ("demo-short" if chosen.short else "demo")
    count = 16 if chosen.short else 32
    steps = ("trainer.steps=60", "trainer.validate_every=20", "trainer.checkpoint_every=20", "trainer.preview_every=60")
    started = time.monotonic()

    if not (ROOT / out / "scans").exists():
        status = script("make_phantom.py", f"{out}/scans", "--patients", "64", "--scans", "2")
        if status:
            return status
    key, cases, trained = f"key={out}/pseudonym.key", f"cases={out}/cases", f"run={out}/run"
    medsynth("ingest", f"source={out}/scans", f"out={out}/cases", "identity=check", "modality=CT", key, LABELS)
    medsynth(
        "train",
        cases,
        f"out={out}/run",
        "experiment=phantom_3d",
        f"cache={out}/cache",
        *(steps if chosen.short else ()),
    )
    made = (trained, f"count={count}", "batch_size=16", "sampler=dpmpp_2m_sde")
    medsynth("generate", *made, f"out={out}/samples")
    medsynth("generate", *made, f"out={out}/samples_untrained", "weights=untrained")
    check = script(
        "check_phantom.py",
        *("--samples", f"{out}/samples", "--untrained", f"{out}/samples_untrained", "--cases", f"{out}/cases"),
        *("--json", f"{out}/check.json"),
    )
    medsynth("evaluate", f"samples={out}/samples", cases, f"out={out}/evaluation")

    print(f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes. Look at")
    print(f"  {out}/samples/contact_sheet.png     the synthetic scans")
    print(f"  {out}/evaluation/evaluation.html    how they compare with real ones")
    if chosen.short:
        print("(a short demo: the samples are not meant to be good)")
        return 0
    return check


if __name__ == "__main__":
    sys.exit(main())

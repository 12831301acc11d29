"""Does a run obey sentences that it was not trained on: the table for `medsynth generate`, the map for the judge.

`python benchmarks/paraphrases.py --out FOLDER [--each 16] [--sentences FILE]` writes FOLDER/wanted.csv, each sentence
of FILE (paraphrases.csv) that often, and FOLDER/map.json, the class that each sentence says. Then

    medsynth generate run=RUN table=FOLDER/wanted.csv out=SAMPLES
    python benchmarks/obedience_class.py CASES SAMPLES --out JUDGE --map FOLDER/map.json --least 0.8

The sentences were fixed before the first training of `experiment=chest_xray_text`; none of them is among its own.
Those of paraphrases_second.csv were written without sight of these and of the experiment's.

It also prints which of them the frozen encoder's vectors alone set apart, with nothing learnt of images: a ridge
classifier of the experiment's training sentences (`--of EXPERIMENT.yaml`). What it misreads, no generator that is told
these vectors can be expected to read. Beside it the training sentences themselves, each left out in turn, and a
control: the training sentences with their classes shuffled, the mean of 200 shuffles, has to be near a half.
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np
import yaml
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import LeaveOneOut, cross_val_score

from medsynth.files import write_json, write_text
from medsynth.nets.text import MiniLM

SENTENCES = Path(__file__).with_name("paraphrases.csv")
EXPERIMENT = Path(__file__).parents[1] / "conf" / "experiment" / "chest_xray_text.yaml"
ALPHA = 0.1  # of vectors of unit length
SHUFFLES = 200


def read_by_the_encoder(said: list[tuple[str, str]], experiment: Path) -> None:
    """Print what of (class, sentence) a ridge classifier of the experiment's sentences gets right."""
    taught = yaml.safe_load(experiment.read_text())["data"]["text"]["sentences"]
    known = [(name, text) for name, texts in taught.items() for text in texts]
    encoder = MiniLM()
    seen, asked = (encoder([text for _, text in pairs]).pooled.numpy() for pairs in (known, said))
    names, wanted = (np.array([name for name, _ in pairs]) for pairs in (known, said))
    found = RidgeClassifier(alpha=ALPHA).fit(seen, names).predict(asked)
    alone = cross_val_score(RidgeClassifier(alpha=ALPHA), seen, names, cv=LeaveOneOut()).mean()
    rng = np.random.default_rng(0)
    chance = [
        (RidgeClassifier(alpha=ALPHA).fit(seen, rng.permutation(names)).predict(asked) == wanted).mean()
        for _ in range(SHUFFLES)
    ]
    print(f"the encoder alone, from {len(known)} training sentences: {(found == wanted).sum()} of {len(said)} right")
    for (name, text), got in zip(said, found, strict=True):
        if got != name:
            print(f"  taken for {got}: {text}")
    print(f"  training sentences, each left out in turn: {alone:.2f}; control, classes shuffled: {np.mean(chance):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=16)
    parser.add_argument("--sentences", type=Path, default=SENTENCES)
    parser.add_argument("--of", type=Path, default=EXPERIMENT)
    chosen = parser.parse_args()
    with chosen.sentences.open(newline="") as stream:
        said = [(row["class"], row["text"]) for row in csv.DictReader(stream)]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["text"])
    writer.writerows([text] for _ in range(chosen.each) for _, text in said)
    write_text(chosen.out / "wanted.csv", table.getvalue())
    write_json(chosen.out / "map.json", {text: name for name, text in said})
    print(f"{len(said) * chosen.each} rows, {len(said)} sentences in {chosen.out}")
    read_by_the_encoder(said, chosen.of)


if __name__ == "__main__":
    main()

"""Does a run obey sentences that it was not trained on: the table for `medsynth generate`, the map for the judge.

`python benchmarks/paraphrases.py --out FOLDER [--each 16]` writes FOLDER/wanted.csv, each sentence of paraphrases.csv
that often, and FOLDER/map.json, the class that each sentence says. Then

    medsynth generate run=RUN table=FOLDER/wanted.csv out=SAMPLES
    python benchmarks/obedience_class.py CASES SAMPLES --out JUDGE --map FOLDER/map.json --least 0.8

The sentences were fixed before the first training of `experiment=chest_xray_text`; none of them is among its own.
"""

import argparse
import csv
import io
from pathlib import Path

from medsynth.files import write_json, write_text

SENTENCES = Path(__file__).with_name("paraphrases.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=16)
    chosen = parser.parse_args()
    with SENTENCES.open(newline="") as stream:
        said = [(row["class"], row["text"]) for row in csv.DictReader(stream)]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["text"])
    writer.writerows([text] for _ in range(chosen.each) for _, text in said)
    write_text(chosen.out / "wanted.csv", table.getvalue())
    write_json(chosen.out / "map.json", {text: name for name, text in said})
    print(f"{len(said) * chosen.each} rows, {len(said)} sentences in {chosen.out}")


if __name__ == "__main__":
    main()

"""Sentences that the encoder's vectors set apart are read, the other way round they are not, and none was taught."""

import csv
import json

import yaml

from benchmarks.paraphrases import EXPERIMENT, SENTENCES, main, read_by_the_encoder


def told(path):
    with path.open(newline="") as stream:
        return [(row["class"], row["text"]) for row in csv.DictReader(stream)]


def test_no_sentence_to_be_asked_was_taught():
    taught = yaml.safe_load(EXPERIMENT.read_text())["data"]["text"]["sentences"]
    known = {text.casefold() for texts in taught.values() for text in texts}
    for path in (SENTENCES, SENTENCES.with_name("paraphrases_second.csv")):
        assert not known & {text.casefold() for _, text in told(path)}


def test_every_sentence_is_read_and_every_one_misread_where_the_classes_are_swapped(capsys):
    said = told(SENTENCES)
    other = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}
    read_by_the_encoder(said, EXPERIMENT)
    assert f"{len(said)} of {len(said)} right" in capsys.readouterr().out
    read_by_the_encoder([(other[name], text) for name, text in said], EXPERIMENT)
    printed = capsys.readouterr().out
    assert f"0 of {len(said)} right" in printed
    assert printed.count("taken for") == len(said)


def test_the_table_asks_each_sentence_as_often_and_the_map_knows_its_class(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["paraphrases", "--out", str(tmp_path), "--each", "3"])
    main()
    said = told(SENTENCES)
    with (tmp_path / "wanted.csv").open(newline="") as stream:
        rows = [row["text"] for row in csv.DictReader(stream)]
    assert sorted(rows) == sorted(text for _, text in said for _ in range(3))
    assert json.loads((tmp_path / "map.json").read_text()) == {text: name for name, text in said}
    assert f"{3 * len(said)} rows" in capsys.readouterr().out

"""Names of the files beside what is exported, which the exporter writes and the checker knows."""

EXPORT_FILE = "export.json"
SENT_FILE = "sent.json"
DATASET_FILE = "dataset.json"
DATASET_TABLE = "dataset.csv"
COLUMNS = (
    "case", "source", "split", "patient", "parents", "verdict", "seed", "index", "model", "record", "identity",
    "licences", "overrides", "attributes",
)  # fmt: skip
"""Of dataset.csv, before the files' and the attributes' own."""

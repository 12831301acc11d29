"""What `medsynth` can do: one entry a verb. Nothing heavy is imported before it is used."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from medsynth.cli import inputs


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A command that reads finished folders and, most of them, writes one new folder, `out`.

    Args:
        name: as typed; its configuration is `medsynth.conf/NAME.yaml`.
        summary: one line for `medsynth --help`.
        function: "module:function", plain keyword arguments; whatever it returns may
            have an `exit_code`.
        inputs: path keys that are read, each with the function that gives the hash of
            its content, or its refusal.
        places: further path keys, whose content does not bind `out`.
        texts: further keys whose values are taken letter by letter, as paths are.
        unfinished: the line for a result whose `exit_code` is not 0.
        says_resumed: it says itself that it goes on in a folder, once it has seen that it does.
        runtime: keys that change how the work is done and not what comes out.
        writes: whether it has an `out` at all.
    """

    name: str
    summary: str
    function: str
    inputs: Mapping[str, Callable[[str, Any], str]] = field(default_factory=dict)
    places: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    unfinished: str = "not all was done; call the same command again"
    says_resumed: bool = False
    runtime: frozenset[str] = field(default_factory=lambda: frozenset({"progress"}))
    writes: bool = True

    @property
    def paths(self) -> frozenset[str]:
        """Keys whose values are paths."""
        return frozenset(self.inputs) | self.places | ({"out"} if self.writes else frozenset())

    def load(self) -> Callable[..., Any]:
        """Import the function."""
        module, _, name = self.function.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function


VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            name="ingest",
            summary="find the scans in a folder, check them, write them as cases",
            function="medsynth.ingest.run:ingest",
            # Scans that changed are read anew, and the cases belong to one source and one key:
            # ingest sees to both itself.
            places=frozenset({"source", "key", "known", "allow"}),
            texts=frozenset({"licence", "patient_pattern"}),
            unfinished="some cases were refused, the others are done: refused.jsonl in out says why, and the way out",
            says_resumed=True,
            runtime=frozenset({"workers", "progress"}),
        ),
        Verb(
            name="train",
            summary="learn a generator from cases",
            function="medsynth.training.run:train",
            inputs={"cases": inputs.cases_content, "init_from": inputs.run_content},
            places=frozenset({"cache"}),
            runtime=frozenset({"workers", "device", "threads", "progress"}),
        ),
        Verb(
            name="generate",
            summary="make synthetic scans with a trained run",
            function="medsynth.generation.run:generate",
            inputs={
                "run": inputs.run_content,
                "guide": inputs.run_content,
                "parents": inputs.parents_content,
                "table": inputs.table_content,
            },
            runtime=frozenset({"batch_size", "device", "progress"}),
        ),
        Verb(
            name="evaluate",
            summary="compare synthetic scans with real ones: fidelity, diversity, labels",
            function="medsynth.evidence.evaluate:evaluate",
            inputs={"samples": inputs.samples_content, "cases": inputs.cases_content},
            places=frozenset({"cache"}),
        ),
        Verb(
            name="utility",
            summary="train networks on synthetic and real scans, and test them on held-out patients",
            function="medsynth.evidence.utility.run:measure_utility",
            inputs={
                "samples": inputs.samples_folders_content,
                "cases": inputs.cases_content,
                "runs": inputs.runs_content,
                "reuse": inputs.utility_content,
            },
            runtime=frozenset({"device", "progress"}),
        ),
        Verb(
            name="audit",
            summary="look whether synthetic scans are copies, and whether the model tells who was trained on",
            function="medsynth.evidence.audit.run:audit",
            inputs={
                "samples": inputs.samples_content,
                "run": inputs.run_content,
                "cases": inputs.cases_content,
            },
            places=frozenset({"cache"}),
            unfinished="the samples did not pass the audit: audit.json in out says why",
            runtime=frozenset({"device", "progress"}),
        ),
        Verb(
            name="report",
            summary="one page, a model card and a data sheet from what was found",
            function="medsynth.evidence.reporting.run:report",
            inputs={
                "evaluation": inputs.evaluation_content,
                "audit": inputs.audit_content,
                "utility": inputs.utility_content,
                "samples": inputs.samples_content,
                "run": inputs.run_content,
            },
            runtime=frozenset(),
        ),
        Verb(
            name="export",
            summary="bring synthetic scans to where people work: DICOM, or data sets to train on",
            function="medsynth.export.run:export",
            inputs={
                "samples": inputs.samples_content,
                "audit": inputs.audit_content,
                "real": inputs.cases_content,
            },
            places=frozenset({"pacs_list"}),
            unfinished="not all was sent: sent.json in out says why; the same command sends the rest",
            runtime=frozenset({"pacs", "confirm", "progress"}),
        ),
        Verb(
            name="view",
            summary="look at samples and scans in a browser, on this machine alone",
            function="medsynth.view.run:view",
            places=frozenset({"samples", "audit", "cases", "folder"}),
            runtime=frozenset(),
            writes=False,
        ),
        Verb(
            name="check",
            summary="look whether a folder names anyone",
            function="medsynth.identity.check:check",
            places=frozenset({"folder", "known", "allow"}),
            unfinished="the folder may name somebody; with out=DIR, identity.json there says what was found where",
        ),
    )
}

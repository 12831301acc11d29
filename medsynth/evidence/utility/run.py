"""Measure the usefulness of folders of samples: train the arms, test on held-out patients, judge."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medsynth import __version__
from medsynth.data.progress import progress_bar
from medsynth.errors import MedsynthError
from medsynth.evidence.augmenting import Augmenter
from medsynth.evidence.utility import arms
from medsynth.evidence.utility.comparison import Judged, Outcomes, Verdict, judge
from medsynth.evidence.utility.figure import utility_figure
from medsynth.evidence.utility.folders import Row, SampleFolder, find_rows
from medsynth.evidence.utility.loading import Loaded, choose_task, load
from medsynth.evidence.utility.report import Counted, summary_text, utility_json
from medsynth.evidence.utility.results import Key, read_result, write_result
from medsynth.evidence.utility.tasks import Budget, Classification, Segmentation
from medsynth.files import sha256_file, sha256_json, write_json
from medsynth.records import CASES_FILE, CaseRecord, read_records

UTILITY_FILE, FIGURE_FILE = "utility.json", "utility.png"
AUGMENTATION = Augmenter(rotate=10.0, noise=0.05)


@dataclass(frozen=True)
class Utility:
    """What came out: the verdict over all rows, the JSON's content, where both files lie."""

    verdict: Verdict
    content: dict[str, Any]
    json: Path
    figure: Path

    @property
    def summary(self) -> str:
        """Scores, differences and verdicts as text."""
        return f"{summary_text(self.content)}\nverdict: {self.verdict}; see {self.json} and {self.figure}"


@dataclass(frozen=True, kw_only=True)
class Design:
    """How it is measured.

    Args:
        seeds: networks in each arm and draw.
        share: of synthetic images in a batch, where real and synthetic ones are mixed.
        budget: the same for all arms.
        augmentation: ordinary augmentation; its spacing is the samples'.
        longest: largest side of an image for classification.
        resamples: of the bootstrap.
        seed: of all chance.
    """

    seeds: int = 2
    share: float = 0.5
    budget: Budget = field(default_factory=Budget)
    augmentation: Augmenter = AUGMENTATION
    longest: int = 128
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or min(self.seeds, self.longest) < 1 or self.seed < 0 or self.resamples < 100:
            raise MedsynthError(
                "utility: share is above 0 and below 1, seeds and longest are at least 1, seed 0, resamples 100"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "augmentation": self.augmentation.to_json()}


def measure_utility(
    samples: Path,
    cases: Path,
    out: Path,
    *,
    runs: Path | None = None,
    task: Literal["segmentation", "classification"] | None = None,
    of: str = "class",
    seeds: int = 2,
    share: float = 0.5,
    budget: Budget | None = None,
    augmentation: Augmenter = AUGMENTATION,
    longest: int = 128,
    resamples: int = 2000,
    seed: int = 0,
    device: str = "auto",
    reuse: Path | None = None,
    progress: bool = True,
) -> Utility:
    """Train each arm on each draw with each seed, test on held-out patients, write utility.json and utility.png.

    The row of a folder of samples is the number of patients that its generator had (data.split.patients); the real
    cases of the row are those patients', and the test patients are those that neither generator nor network saw.

    Args:
        samples: SAMPLES, or a folder of such.
        cases: CASES that all generators were trained on.
        out: folder for the result; a stopped call goes on in it.
        runs: RUN, or a folder of runs, that made the samples and that those began with; None leaves it unknown
            what they saw, and nothing is said to be met.
        task: None takes segmentation where samples have label maps, else classification.
        of: attribute and condition with the classes.
        seeds: networks in each arm and draw.
        share: of synthetic images in a batch, where both are mixed.
        budget: of each network.
        augmentation: ordinary augmentation.
        longest: largest side of an image for classification.
        resamples: of the bootstrap.
        seed: of all chance.
        device: "auto", "cpu" or "cuda".
        reuse: result of an earlier call for other samples of the same cases, draws and settings: its networks that
            saw no synthetic image are the same here and are not trained again.
        progress: show a bar on the terminal.

    Raises:
        MedsynthError: folders that may not be compared, see `find_rows`; results of another command in `out`; nothing
            in `reuse` that can be taken.
    """
    design = Design(
        seeds=seeds,
        share=share,
        budget=budget or Budget(),
        augmentation=augmentation,
        longest=longest,
        resamples=resamples,
        seed=seed,
    )
    if device not in ("auto", "cpu", "cuda"):
        raise MedsynthError("device is auto, cpu or cuda")
    rows = find_rows(samples, cases, runs)
    chosen = choose_task(task, of, rows, None if device == "auto" else device)
    of_rows = [_Row(row, cases, out, chosen, of, design, reuse) for row in rows]
    source = _source(reuse)
    for found in of_rows:
        found.require_reusable()
    trainings = sum(len(row.folders) * seeds * len(_arms(row)) for row in rows)
    tested, counted = [], []
    with progress_bar(progress) as bar:
        bar_task = bar.add_task("training networks", total=trainings * design.budget.steps, note="")
        for found in of_rows:
            result, count = found.run(
                lambda steps: bar.advance(bar_task, steps), lambda note: bar.update(bar_task, note=note)
            )
            tested.append(result)
            counted.append(count)
    judged: list[Judged] = []
    for row, result in zip(rows, tested, strict=True):
        known = all(folder.origin.known for folder in row.folders)
        judged.append(judge(result, chosen, row.whole, known, resamples, seed))
    content = utility_json(
        rows,
        tested,
        judged,
        counted,
        chosen,
        settings={**design.to_json(), "of": of, "mixing": _mixing(share), "reuse": source},
        presumed=any(r.patient_source == "presumed" for r in read_records(cases / CASES_FILE, CaseRecord)),
    )
    utility_figure(out / FIGURE_FILE, content["rows"], chosen.score_name)
    write_json(out / UTILITY_FILE, content)
    return Utility(content["verdict"], content, out / UTILITY_FILE, out / FIGURE_FILE)


def _mixing(share: float) -> str:
    kind = "within either kind all are drawn alike"
    return f"each place of a batch holds a synthetic image with probability {share:g}; {kind}"


def _source(reuse: Path | None) -> str | None:
    """SHA-256 of the result that networks are taken from; without one it is refused."""
    if reuse is None:
        return None
    if not (reuse / UTILITY_FILE).is_file():
        raise MedsynthError(f"reuse holds no {UTILITY_FILE}: name the out of a measurement that came to its end")
    return sha256_file(reuse / UTILITY_FILE)


def _arms(row: Row) -> tuple[str, ...]:
    return (*arms.ARMS, *arms.controls_of(row.whole))


@dataclass(frozen=True)
class _Row:
    """The trainings of one row."""

    row: Row
    cases: Path
    out: Path
    task: Segmentation | Classification
    of: str
    design: Design
    reuse: Path | None = None

    def run(self, advance: Callable[[int], None], note: Callable[[str], None]) -> tuple[Outcomes, Counted]:
        """Outcomes of every arm, draw and seed; what was done before is read."""
        names = _arms(self.row)
        outcomes: dict[str, list[list[NDArray[np.float64]]]] = {name: [] for name in names}
        counted = Counted([], [], [])
        test = None
        for draw, folder in enumerate(self.row.folders):
            note(f"{self.row.name} draw {draw}: reading")
            loaded = load(folder, self.cases, self.task, self.of, self.design.longest)
            for kept, pool in zip(counted, loaded.pools, strict=True):
                kept.append(len(pool.images))
            test = test or loaded.test
            if list(test.owners) != list(loaded.test.owners):
                raise MedsynthError("the folders of samples give other test images; train with the same data settings")
            for name in names:
                outcomes[name].append([self._one(loaded, folder, name, draw, k, advance, note) for k in self._seeds])
        assert test is not None
        stacked = {name: np.array(of_draws) for name, of_draws in outcomes.items()}
        return Outcomes(stacked, test.targets, test.owners), counted

    def require_reusable(self) -> None:
        """Before anything is trained: `out` keeps to its `reuse`, and a late refusal would cost what was trained.

        Raises:
            MedsynthError: a network that saw no synthetic image is neither in `out` nor in `reuse`.
        """
        if self.reuse is None:
            return
        names = [name for name in _arms(self.row) if name in arms.WITHOUT_SYNTHETIC]
        for (draw, folder), name, number in product(enumerate(self.row.folders), names, self._seeds):
            key = Key(self.row.size, draw, number, name)
            if not key.path(self.out).exists():
                self._reused(self.reuse, key, self._binding(folder, name, draw, number), None)

    @staticmethod
    def _reused(reuse: Path, key: Key, binding: str, shape: tuple[int, int] | None) -> NDArray[np.float64]:
        kept = read_result(reuse, key, binding, shape, "reuse")
        if kept is None:
            raise MedsynthError(f"reuse holds no {key.path(reuse).name}: measure without reuse")
        return kept

    @property
    def _seeds(self) -> Sequence[int]:
        return range(self.design.seeds)

    def _one(
        self,
        loaded: Loaded,
        folder: SampleFolder,
        name: str,
        draw: int,
        number: int,
        advance: Callable[[int], None],
        note: Callable[[str], None],
    ) -> NDArray[np.float64]:
        """One training, or its result from an earlier call."""
        key, binding = Key(self.row.size, draw, number, name), self._binding(folder, name, draw, number)
        width = len(self.task.parts)
        budget = self.design.budget
        shape = (len(loaded.test.images), width)
        kept = read_result(self.out, key, binding, shape)
        if kept is None and self.reuse is not None and name in arms.WITHOUT_SYNTHETIC:
            kept = self._reused(self.reuse, key, binding, shape)
            write_result(self.out, key, binding, kept)
        if kept is not None:
            advance(budget.steps)
            return kept
        note(f"{self.row.name} draw {draw} seed {number}: {name}")
        rng = np.random.default_rng([self.design.seed, draw, number, 1])
        arm = arms.make_arm(name, loaded.pools, self.design.share, isinstance(self.task, Classification), rng)
        spacing = folder.preparation.grid.spacing
        augment = replace(self.design.augmentation, spacing=tuple(float(step) for step in spacing))
        outcome = self.task.outcome(
            arm.material,
            arm.shares,
            loaded.test,
            budget,
            self._seed(name, draw, number),
            augment if arm.augmented else None,
            lambda: advance(1),
        )
        write_result(self.out, key, binding, outcome)
        return outcome

    def _seed(self, name: str, draw: int, number: int) -> int:
        """The arms of one draw and seed begin with the same weights; AGAIN has others."""
        chance = np.random.SeedSequence([self.design.seed, draw, number, int(name == arms.AGAIN)])
        return int(chance.generate_state(1)[0])

    def _binding(self, folder: SampleFolder, name: str, draw: int, number: int) -> str:
        """Hash of all that an outcome depends on."""
        design = self.design.to_json()
        for unrelated in ("seeds", "resamples"):
            del design[unrelated]
        samples = None if name in arms.WITHOUT_SYNTHETIC else folder.sha256
        saw = [samples, folder.preparation.sha256, self.task.name, self.of, name, draw, number, design]
        return sha256_json([__version__, *saw])

"""A batch of rows becomes samples: what they are asked, how they are edited, and the way back to their own grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medsynth.data.derived import SPACING
from medsynth.data.preparation import Preparation
from medsynth.errors import MedsynthError
from medsynth.generation.edits import Between, FromImage, Varied
from medsynth.generation.inpainting import Inpainting
from medsynth.generation.parents import Parents
from medsynth.generation.plan import SECOND, SOURCE, EditPlan, Row
from medsynth.generation.thin_slices import ThinSlices
from medsynth.generation.writing import Made
from medsynth.geometry import Geometry
from medsynth.models.conditioner import STYLE, Asked
from medsynth.models.drawing import Edit, sample_latents
from medsynth.models.gan import GanModel
from medsynth.models.model import DiffusionModel, require_diffusion
from medsynth.models.sample_model import SampleModel
from medsynth.models.sampling import SamplingPlan
from medsynth.models.style import style_of
from medsynth.records import GAN, Attribute


@dataclass(frozen=True)
class Maker:
    """What all samples of a folder have in common.

    Args:
        model: whose samples.
        worse: of autoguidance, or None; a diffusion model's.
        preparation: of the run.
        sampling: sampler and settings; a GAN has none.
        plan: what the samples are made from.
        parents: the scans that they are made from, or None.
    """

    model: SampleModel
    worse: SampleModel | None
    preparation: Preparation
    sampling: SamplingPlan
    plan: EditPlan
    parents: Parents | None

    def check(self) -> None:
        """Refuse what the model has no use for, before anything is written.

        Raises:
            MedsynthError: parts that it is not given, a style it does not know, edits of slices, anything of a
                diffusion model that a GAN is asked for.
        """
        self.plan.check_mask()
        self._check_kind()
        known = [*self.model.layout.given.parts, *([STYLE] if self.model.conditioner.style else [])]
        for name in self.plan.take:
            if name not in known:
                can = ", ".join(known) or "nothing: it was trained without data.given and data.style"
                raise MedsynthError(f"plan.take: the run is not told {name} of a scan; it can be told {can}")
        given = self.model.layout.given.label
        if self.plan.label == "remove" and given is not None and given.name not in self.plan.take:
            raise MedsynthError(f"plan.label=remove: the run is given label maps; set plan.take=[{given.name}] too")
        if self.plan.edit != "none" and self.preparation.resampling.slices is not None:
            raise MedsynthError("plan.edit: the run makes slices; edits need one of whole volumes or pictures")
        if self.plan.edit == "thin_slices" and self.model.layout.rank == 2:
            raise MedsynthError("plan.edit=thin_slices is for volumes; the run makes pictures")
        thick = [name for name in self.plan.take if name != STYLE] if self.plan.edit == "thin_slices" else []
        if thick:
            raise MedsynthError(
                f"plan.take: {thick[0]} of a scan has thick slices, plan.edit=thin_slices makes thin ones; leave it out"
            )
        if self.plan.edit in ("inpaint", "thin_slices") and self.plan.returns and self.sampling.options.get("churn"):
            raise MedsynthError(
                "plan.returns goes back by noise of its own, and sampler.options.churn, meant for all steps together, "
                "would be added at each return anew: set sampler.options.churn=0, or plan.returns=0"
            )
        if self.plan.edit in ("variations", "interpolate") and self.sampling.stochastic:
            raise MedsynthError(
                f"plan.edit={self.plan.edit} goes back to the noise of a scan, and sampler={self.sampling.name} adds "
                "other; take sampler=dpmpp_2m or another without noise"
            )

    @property
    def sampler(self) -> dict[str, Attribute]:
        """What the records say of the way from noise to a sample."""
        return {"name": GAN} if isinstance(self.model, GanModel) else self.sampling.to_record()

    @property
    def steps(self) -> int:
        """Steps of a sample."""
        return 1 if isinstance(self.model, GanModel) else self.sampling.steps

    def _check_kind(self) -> None:
        if isinstance(self.model, DiffusionModel):
            return
        if self.plan.edit != "none":
            require_diffusion(self.model, f"plan.edit={self.plan.edit}")
        if self.worse is not None:
            require_diffusion(self.model, "guide")
        if self.sampling != SamplingPlan():
            raise MedsynthError(
                f"sampler={self.sampling.name}, its steps and guidance are of diffusion models, and the run is a GAN, "
                "which makes a sample at once: leave sampler out"
            )

    def asked(self, row: Row, source: str | None = None) -> Asked:
        """What a row is asked to be: an edited scan also all that is known of it.

        Args:
            row: of the plan.
            source: id of the scan that is edited, whose attributes and given parts hold where the row says nothing.
        """
        given: dict[str, Tensor] = {}
        style = None
        if self.parents is not None:
            for place, (name, part) in enumerate(self.model.layout.given.parts.items()):
                origin = row.parents.get(name)
                if origin is None:
                    continue
                told = self.parents.shown(origin).told
                if told.present[place]:  # a scan that lacks it leaves it open
                    given[name] = told.channels[part]
            if STYLE in row.parents:
                style = style_of(self.parents.look(row.parents[STYLE]))
        return Asked(
            self.attributes(row, source), style, self.model.layout.given.tell(self.model.layout.grid.shape, given)
        )

    def attributes(self, row: Row, source: str | None = None) -> dict[str, Attribute]:
        """Classes, numbers and text of a row; of an edited scan also what is known of it."""
        if source is None or self.parents is None:
            return dict(row.condition)
        known = self.model.conditioner.known(self.parents.attributes(source))
        if self.plan.edit == "thin_slices":  # what it makes has other voxels
            known = {name: value for name, value in known.items() if name not in SPACING}
        return {**known, **row.condition}

    def source(self, row: Row) -> str | None:
        """Id of the scan that a row edits, of two the nearer one; None for a row that edits none."""
        return row.parents.get(SECOND if SECOND in row.parents and row.share > 0.5 else SOURCE)

    @staticmethod
    def _told_of(row: Row, source: str | None) -> Row:
        """The row with what is told of its parent told of another one."""
        if source is None:
            return row
        first = row.parents[SOURCE]
        return replace(row, parents={role: source if name == first else name for role, name in row.parents.items()})

    def _as_it_is(self, row: Row, source: str) -> Asked:
        """What a scan is, whatever it is to become: told of itself alone."""
        own = {role: source for role in row.parents}
        return self.asked(replace(row, condition={}, parents=own), source)

    def make(self, rows: Sequence[Row], on_step: Callable[[int], None]) -> list[tuple[Row, Asked, Made]]:
        """Make the samples of some rows, which share the strength of an edit."""
        asked = [self.asked(self._told_of(row, self.source(row)), self.source(row)) for row in rows]
        regions: Inpainting | ThinSlices | None = None
        if self.plan.edit in ("inpaint", "thin_slices"):
            assert self.parents is not None
            kind = Inpainting if self.plan.edit == "inpaint" else ThinSlices
            regions = kind(
                require_diffusion(self.model, "an edit"), self.parents, self.plan, [row.parents[SOURCE] for row in rows]
            )
            asked = regions.asked(asked)
        edit = regions.edit() if regions is not None else self._edit(rows)
        decoded = self.model.decode(self._drawn(rows, asked, edit, on_step))
        if regions is not None:
            made = [regions.finished(number, x) for number, x in enumerate(decoded)]
        else:
            made = [self._plain(row, each, x) for row, each, x in zip(rows, asked, decoded, strict=True)]
        return list(zip(rows, asked, made, strict=True))

    def _drawn(
        self, rows: Sequence[Row], asked: Sequence[Asked], edit: Edit | None, on_step: Callable[[int], None]
    ) -> Tensor:
        """Latents of the rows."""
        numbers, seeds = [row.noise for row in rows], [row.seed for row in rows]
        if isinstance(self.model, GanModel):
            made = self.model.sample_latents(numbers, asked, seed=seeds)
            on_step(1)
            return made
        model = require_diffusion(self.model, "a sampler")
        worse = None if self.worse is None else require_diffusion(self.worse, "guide")
        return sample_latents(
            model, numbers, asked, seed=seeds, plan=self.sampling, worse=worse, edit=edit, on_step=on_step
        )

    def _edit(self, rows: Sequence[Row]) -> Edit | None:
        if self.plan.edit == "none":
            return None
        model = require_diffusion(self.model, "an edit")
        sources = [row.parents[SOURCE] for row in rows]
        latents = self._latents(sources)
        if self.plan.edit == "image_to_image":
            return FromImage(latents, rows[0].strength)
        own = [self._as_it_is(row, source) for row, source in zip(rows, sources, strict=True)]
        if self.plan.edit == "variations":
            return Varied(model, latents, own, [row.amount for row in rows])
        others = [row.parents[SECOND] for row in rows]
        theirs = [self._as_it_is(row, other) for row, other in zip(rows, others, strict=True)]
        shares = [row.share for row in rows]
        return Between(model, latents, own, self._latents(others), theirs, shares)

    def _latents(self, names: Sequence[str]) -> Tensor:
        assert self.parents is not None
        x = torch.stack([self.parents.prepared(name).x for name in names])
        return self.model.encode(x.to(self.model.sigma_data.device))

    def _plain(self, row: Row, asked: Asked, x: Tensor) -> Made:
        """On the model's grid, where the scan lies that it was made from, in that scan's own range of values."""
        layout = self.model.layout
        grid, ranges = layout.grid, None
        place = self.source(row) or next((row.parents[n] for n in layout.given.parts if n in row.parents), None)
        if place is not None and self.parents is not None:
            grid = Geometry(grid.shape, self.parents.shown(place).affine.numpy())
            if SOURCE in row.parents:
                own = self.parents.prepared(row.parents[SOURCE]).ranges
                if SECOND in row.parents:
                    own = torch.lerp(own, self.parents.prepared(row.parents[SECOND]).ranges, row.share)
                ranges = own.tolist()
        decoded = layout.decode(x, ranges)
        label = decoded.label
        given = layout.given.label
        if given is not None and asked.given is not None:
            parts = layout.given.parts
            if asked.given.present[list(parts).index(given.name)]:
                label = given.decode(asked.given.channels[parts[given.name]])
        # A slice of a volume lies somewhere in the patient, which a plane cannot say.
        place3 = grid if self.preparation.resampling.slices is None else grid.as_volume
        return Made(decoded.images, label, place3)

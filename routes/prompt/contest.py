"""The arms of one photo compete: the search asks, pictures are drawn and scored, and what they miss makes new arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from ...fashion.prompts.arms import factors_of, write_arm
from ...fashion.prompts.feedback import Faults, find_faults, rewritten_arms
from ...fashion.prompts.strategies import GIVEN, STRATEGIES, form_of
from ...search.arm_model import ArmModel
from ...search.halving import SuccessiveHalving
from ...search.seeds import photo_seed_plan
from ...search.trials import Trial
from ..evaluator import Candidate
from ..host_prompts import write_for

if TYPE_CHECKING:
    from ...fashion.prompts.renderers import Rendered
    from ...fashion.prompts.strategies import Context, TaggedPhoto
    from ...fashion.prompts.tree import Prompt
    from ...models.session import Session
    from ...search.budget import BudgetPlan
    from ...search.seeds import SeedPlan
    from ..evaluator import Evaluator, Picture, Reference
    from .criterion import Criterion
    from .experience import Experience
    from .settings import PromptSettings


@dataclass(frozen=True)
class SearchRun:
    """What every photo of a run is searched with. `drafts` draws what only chooses, `evaluator` what proves; `looks`:
    photo (sha256) → how often it was confirmed before; `experience` grows with each photo."""

    session: Session
    evaluator: Evaluator
    drafts: Evaluator
    settings: PromptSettings
    looks: Mapping[str, int]
    context: Context
    experience: Experience

    def seeds_of(self, photo: str) -> SeedPlan:
        """The own seeds of a photo (sha256), more than any search of the run's budget can use."""
        budget = self.settings.budget
        return photo_seed_plan(self.settings.seed, photo, self.looks.get(photo, 0), budget, budget)

    def write(self, prompt: Prompt) -> Rendered:
        """The prompt's text in the host's dialect, within its limit of tokens."""
        return write_for(self.session.host, prompt)


@dataclass
class Contest:
    """One photo's search: `prompts` (arm → text) grows by the arms that answer its first pictures' `faults`."""

    tagged: TaggedPhoto
    reference: Reference
    prompts: dict[str, Rendered]
    criterion: Criterion
    run: SearchRun
    faults: Faults = field(default_factory=Faults)
    tried: dict[str, list[Picture]] = field(default_factory=dict)  # arm → its pictures
    trials: list[Trial] = field(default_factory=list)  # what each picture was worth to the search

    def search_of(self, arms: list[str], plan: BudgetPlan, screening: int) -> SuccessiveHalving:
        """The halving over `arms`, which leaves `screening` pictures of the search's share to what follows it."""
        settings, photo = self.run.settings, self.reference.sha256
        # With a single arm there is nothing to choose, and no picture is drawn for it.
        images = max(1, plan.search - screening)
        seeds = self.run.seeds_of(photo).search[: max(1, plan.search_seeds)]
        rng = Random(f"{settings.seed} {photo}")
        given = [arm for arm in arms if arm in GIVEN]  # whoever gives words wants to know what they are worth
        return SuccessiveHalving(
            arms, seeds, images, rng=rng, model=self._model(arms), later=settings.feedback, always=given
        )

    def compete(self, search: SuccessiveHalving) -> None:
        """Draws what the search asks for until it is done."""
        while not search.done:
            if search.open_places:
                self._answer(search)
                continue
            candidates = [Candidate(key.arm, self.prompts[key.arm], key.seed) for key in search.ask()]
            pictures = self.run.drafts.evaluate(self.reference, candidates)
            for picture, worth in zip(pictures, self.criterion.worth(pictures), strict=True):
                arm, seed = picture.candidate.strategy, picture.candidate.seed
                self.tried.setdefault(arm, []).append(picture)
                self.trials.append(Trial(arm, seed, worth))
            search.tell(self.trials[-len(pictures) :])

    @property
    def pictures(self) -> list[Picture]:
        """What was drawn, arm by arm."""
        return [picture for pictures in self.tried.values() for picture in pictures]

    def _answer(self, search: SuccessiveHalving) -> None:
        """Tags the pictures again, and gives the open places to rewritings of the leading arm for what they miss."""
        from PIL import Image

        files = [picture.path for picture in self.pictures if picture.path is not None]
        shown = self.run.session.vision.tagger.tag([Image.open(file).convert("RGB") for file in files])
        self.faults = find_faults(self.tagged, shown)
        leader = next((arm for arm in search.order if form_of(arm) in STRATEGIES), None)
        prompt = write_arm(leader, self.tagged) if leader else None
        written: dict[str, Rendered] = {}
        if leader and prompt:
            known = {(text.positive, text.negative) for text in self.prompts.values()}
            rewritten = rewritten_arms(leader, prompt, self.tagged, self.faults)
            texts = {arm: self.run.write(changed) for arm, changed in rewritten.items()}
            written = {arm: text for arm, text in texts.items() if (text.positive, text.negative) not in known}
        search.join(list(written), self._model([*search.arms, *written]))
        self.prompts.update({arm: text for arm, text in written.items() if arm in search.arms})

    def _model(self, arms: Sequence[str]) -> ArmModel:
        """What is believed of the arms before any picture of this photo."""
        return ArmModel.of_factors({arm: factors_of(arm) for arm in arms}, self.run.experience.of_factors())

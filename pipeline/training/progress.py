"""How far a run is, and which of its validations was the best: plain numbers, saved in every checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from pipeline.config import SelectBy
from pipeline.metrics.metrics import metric_titled

NEAR_ZERO = 1.0
"""BLEU below this says that a model has learnt next to nothing, not how little."""


@dataclass(frozen=True)
class Progress:
    """How far a run is; all that a resumed run needs besides the weights, the optimizer's moments and the sums."""

    epoch: int = 0
    """Finished epochs."""
    batch: int = 0
    """Finished steps of the epoch that has begun, which are global batches of its plan."""
    batches: int = 1
    """Steps of that epoch; of no meaning before the first."""
    step: int = 0
    """Finished optimizer steps."""
    tokens: int = 0
    """Target tokens of these, over all workers."""
    tokens_before: int = 0
    """Of these, those before the epoch that has begun: a curriculum says by them how that epoch is planned."""
    seconds: float = 0.0
    """That these took."""
    validation_due: bool = False
    """Whether a validation is the next thing to do."""
    validated_at: float = 0.0
    saved_at: float = 0.0
    """Seconds of steps at the last validation, and at the last checkpoint."""
    skipped: int = 0
    """Steps that were passed over, since their loss or gradient was not finite."""
    best_score: float = -1e9
    """Of the best validation so far: see `selection_score`."""
    lowest_loss: float = 1e9
    """On the validation set."""
    stale: int = 0
    """Validations that count towards `training.patience`."""

    @property
    def epochs(self) -> Fraction:
        """Finished passes over the corpus, with the part of the one that has begun."""
        return self.epoch + Fraction(self.batch, self.batches)

    def after_step(self, batches: int, tokens: int) -> "Progress":
        """Return the progress after a step of so many target tokens, in an epoch of so many steps."""
        batch = self.batch + 1
        ends, tokens = batch == batches, self.tokens + tokens
        return replace(
            self,
            epoch=self.epoch + ends,
            batch=0 if ends else batch,
            batches=batches,
            step=self.step + 1,
            tokens=tokens,
            tokens_before=tokens if ends else self.tokens_before,
        )

    def judge(self, figures: Mapping[str, float], select_by: SelectBy) -> "Progress":
        """Return the progress after a validation. Near BLEU 0, which says little, a falling loss costs no patience."""
        loss, score = figures["validation_loss"], selection_score(figures, select_by)
        learning = figures["bleu"] < NEAR_ZERO and loss < self.lowest_loss
        return replace(
            self,
            validation_due=False,
            validated_at=self.seconds,
            saved_at=self.seconds,
            best_score=max(score, self.best_score),
            lowest_loss=min(loss, self.lowest_loss),
            stale=0 if score > self.best_score else self.stale + (not learning),
        )


def selection_score(figures: Mapping[str, float], select_by: SelectBy) -> float:
    """Return what the best epoch has most of: the metric that selects, and where that is equal, the lower loss."""
    loss = min(figures["validation_loss"], 1e6)
    return -loss if select_by == "loss" else figures[metric_titled(select_by).key] - 1e-7 * loss

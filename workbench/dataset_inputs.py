"""What a data set job is given: the pool without leaks and repetitions, the probes, and what was left out and why.

This is done before the job, where the store is at hand: the texts of a holdout are needed to keep what is like them
out, and must not lie in the job's folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from workbench.dataset import CheckedSet, DatasetRecipe, GoldenPool, PairsPool, ProductsPool, Source, Texts
from workbench.dataset_coverage import draw
from workbench.dataset_leakage import Holdout, leaks, screen
from workbench.dataset_pool import product_pairs
from workbench.dataset_sources import distinct, pairs_from_file, texts_from_file
from workbench.dataset_summaries_step import check_step
from workbench.errors import Refused
from workbench.golden import UNRATEABLE, GoldenSet, Pair, label_table, standing
from workbench.identity import content_hash
from workbench.judge_choice import filled
from workbench.policy import Policy, Side
from workbench.prompt_costs import golden_sets
from workbench.run import JudgeSpec
from workbench.synthesis_plan import Synthesis, plan_synthesis
from workbench.synthesis_recipe import SyntheticPool
from workbench.workspace import Workspace


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before a judge is asked."""

    policy: Policy
    judge: JudgeSpec  # as a worker can build it
    golden: GoldenSet  # dev pairs and their labels only; without any where there is no golden set
    golden_hash: str  # of the whole snapshot, "" without one
    pool: tuple[Pair, ...]  # what is graded, probes left out; () where the job has it written
    probes: tuple[Pair, ...]
    found: int  # pairs in the source, or asked of the model that writes them
    dropped: dict[str, int]
    of_holdout_documents: tuple[str, ...]  # ids of pairs in the pool
    sources: tuple[Source, ...]
    checked: tuple[CheckedSet, ...]
    notes: tuple[str, ...]
    simulated: bool
    synthesis: Synthesis | None = None  # what the job needs to have the pool written

    @property
    def pairs(self) -> list[Pair]:
        """Everything that is graded, in an order that mixes the probes in."""
        return sorted((*self.pool, *self.probes), key=lambda pair: pair.id)

    def to_grade(self, recipe: DatasetRecipe) -> int:
        """Return how many pairs are graded besides probes: at most, where the pool is still to be written."""
        if self.synthesis is None:
            return len(self.pool)
        return min(self.found, recipe.size or self.found) if recipe.choose == "all" else self.found


def prepare_inputs(workspace: Workspace, recipe: DatasetRecipe, folder: Path) -> Prepared:
    """Return what making ``recipe`` would grade.

    Args:
        folder: what the file names in the recipe are relative to.

    Raises:
        NotFound: for a policy, golden set, checkpoint, file or column that does not exist.
        Refused: for a golden set of another policy, and where nothing is left to grade.
        BadInput: for a judge or a file that cannot be used.
        Unavailable: when MiniLM is asked for and not installed.
    """
    policy = workspace.store.policy(recipe.policy, recipe.policy_version)
    judge = filled(workspace, recipe.judge)
    if recipe.summarise is not None:
        check_step(recipe.summarise, policy.pair)
    snapshot = _snapshot(workspace, recipe)
    checked, holdout = holdouts(workspace, policy.name)
    golden, notes = _dev(snapshot, holdout, recipe)
    probes = _probes(golden, policy, recipe)
    known = Prepared(
        policy=policy,
        judge=judge,
        golden=golden,
        golden_hash=snapshot.content_hash if snapshot else "",
        pool=(),
        probes=tuple(probes),
        found=0,
        dropped={},
        of_holdout_documents=(),
        sources=(),
        checked=checked,
        notes=tuple(notes),
        simulated=recipe.simulated,
    )
    if isinstance(recipe.pool, SyntheticPool):
        return _to_write(workspace, recipe, recipe.pool, known, holdout)
    found, sources = _pool(workspace, recipe, recipe.pool, policy, folder)
    screened = screen(
        found,
        holdout,
        threshold=recipe.near_duplicates,
        documents=recipe.holdout_documents,
        probes=frozenset(pair.id for pair in probes),
        most=recipe.size if recipe.choose == "all" else None,
        seed=recipe.seed,
    )
    if not screened.kept:
        said = ", ".join(f"{reason} {count:,}" for reason, count in screened.dropped.items())
        raise Refused(
            f"Of {len(found):,} pairs in the pool none is left to grade" + (f" ({said})." if said else "."),
            "Give a pool with other queries.",
        )
    return replace(
        known,
        pool=tuple(found[i] for i in screened.kept),
        found=len(found),
        dropped=dict(screened.dropped),
        of_holdout_documents=tuple(found[i].id for i in screened.kept if i in screened.near_documents),
        sources=sources,
        simulated=recipe.simulated or any(_says_simulated(found[i]) for i in screened.kept),
    )


def _to_write(
    workspace: Workspace, recipe: DatasetRecipe, pool: SyntheticPool, known: Prepared, holdout: Holdout
) -> Prepared:
    """Return ``known`` with what a job needs to have its pool written."""
    snapshot = _of_policy(workspace, pool.golden, recipe.policy)
    dev, notes = _dev(snapshot, holdout, recipe)
    synthesis = plan_synthesis(
        known.policy,
        pool,
        dev,
        snapshot,
        workspace.store.golden(pool.golden).consensus,
        without={pair.query_id for pair in known.probes},
        holdout=holdout,
    )
    return replace(
        known,
        found=pool.count,
        sources=(_source(snapshot, len(synthesis.seeds)),),
        notes=tuple(dict.fromkeys((*known.notes, *notes))),
        synthesis=synthesis,
    )


def holdouts(workspace: Workspace, policy: str) -> tuple[tuple[CheckedSet, ...], Holdout]:
    """Return the golden sets of a policy, as they are under work now, and what their holdouts hold."""
    store = workspace.store
    checked, pairs = [], []
    for name in golden_sets(workspace, policy):
        members = store.members(name)
        ids = members.loc[members["split"] == "holdout", "pair_id"].tolist()
        found = store.pairs(ids)
        pairs += [found[pair_id] for pair_id in ids]
        checked.append(
            CheckedSet(golden=name, holdout_pairs=len(ids), holdout_hash=content_hash("holdout", sorted(ids)))
        )
    return tuple(checked), Holdout.of(pairs)


def _snapshot(workspace: Workspace, recipe: DatasetRecipe) -> GoldenSet | None:
    """Return the newest snapshot of the golden set that a recipe names, or of the one named like the policy."""
    name = recipe.golden or recipe.policy
    if recipe.golden is None:
        there = golden_sets(workspace, recipe.policy)
        if name not in there or not workspace.store.golden(name).snapshots:
            return None
    return _of_policy(workspace, name, recipe.policy)


def _of_policy(workspace: Workspace, golden: str, policy: str) -> GoldenSet:
    snapshot = workspace.store.snapshot(golden)
    if snapshot.policy != policy:
        raise Refused(
            f"Golden set '{golden}' is labelled under policy '{snapshot.policy}', not '{policy}'.",
            "Choose a golden set of this policy.",
        )
    return snapshot


def _pool(
    workspace: Workspace,
    recipe: DatasetRecipe,
    pool: PairsPool | GoldenPool | ProductsPool,
    policy: Policy,
    folder: Path,
) -> tuple[list[Pair], tuple[Source, ...]]:
    if isinstance(pool, PairsPool):
        pairs, source = pairs_from_file(folder, pool.file, policy.pair, pool.query, pool.document)
        return pairs, (source,)
    if isinstance(pool, GoldenPool):
        snapshot = _of_policy(workspace, pool.golden, recipe.policy)
        labelled = set(standing(snapshot.labels)["pair_id"])
        pairs = [pair for pair in _dev_pairs(snapshot) if pair.id not in labelled]
        return pairs, (_source(snapshot, len(pairs)),)
    queries, first = _texts(workspace, pool.queries, policy, policy.pair.query, folder)
    documents, second = _texts(workspace, pool.documents, policy, policy.pair.document, folder)
    products = product_pairs(
        queries,
        documents,
        policy.pair,
        near=pool.near,
        random=pool.random,
        neighbours=pool.neighbours,
        compare=pool.compare,
        seed=recipe.seed,
        cache=workspace.cache_folder,
    )
    return list(products), (first, second)


def _texts(
    workspace: Workspace, texts: Texts, policy: Policy, side: Side, folder: Path
) -> tuple[list[dict[str, str]], Source]:
    """Return the different texts of one side; from a golden set, those of its dev pairs."""
    if texts.file is not None:
        return texts_from_file(folder, texts.file, side, texts.fields)
    snapshot = _of_policy(workspace, str(texts.golden), policy.name)
    of_query = side == policy.pair.query
    found = distinct([dict(p.query if of_query else p.document) for p in _dev_pairs(snapshot)])
    return found, _source(snapshot, len(found))


def _source(snapshot: GoldenSet, rows: int) -> Source:
    return Source(name=f"golden set {snapshot.label}", rows=rows, content_hash=snapshot.content_hash)


def _dev_pairs(snapshot: GoldenSet) -> list[Pair]:
    return [pair for pair in snapshot.pairs if snapshot.splits[pair.id] == "dev"]


def _dev(snapshot: GoldenSet | None, holdout: Holdout, recipe: DatasetRecipe) -> tuple[GoldenSet, list[str]]:
    """Return the dev pairs with their labels, without those that are like a pair of a holdout, and what to say of it.

    A dev pair of one set may be a holdout pair of another: then neither judge nor data set may know it.
    """
    if snapshot is None:
        return GoldenSet("", 0, recipe.policy, (), {}, label_table([])), []
    dev = _dev_pairs(snapshot)
    like = leaks(dev, holdout, threshold=recipe.near_duplicates).reasons
    pairs = tuple(pair for i, pair in enumerate(dev) if i not in like)
    ids = {pair.id for pair in pairs}
    labels = snapshot.labels[snapshot.labels["pair_id"].isin(ids)].reset_index(drop=True)
    notes = []
    if like:
        notes.append(
            f"{len(like)} dev pairs of {snapshot.label} are like pairs of a holdout and were not used at all."
        )
    if snapshot.sample:
        notes.append(f"{snapshot.label} is a sample set.")
    splits = dict.fromkeys(ids, snapshot.splits[pairs[0].id]) if pairs else {}
    return GoldenSet(snapshot.name, snapshot.version, snapshot.policy, pairs, splits, labels), notes


def _probes(golden: GoldenSet, policy: Policy, recipe: DatasetRecipe) -> list[Pair]:
    """Return the labelled dev pairs of some queries, drawn by the seed: whole queries, so that a judge that learns
    from the others has seen none of the probes' queries."""
    said = standing(golden.labels[golden.labels["dimension"].isin(policy.keys)])
    labelled = set(said.loc[said["grade"] != UNRATEABLE, "pair_id"])
    pairs = [pair for pair in golden.pairs if pair.id in labelled]
    queries = sorted({pair.query_id for pair in pairs}, key=lambda query: draw(recipe.seed, query))
    count = round(recipe.probes * len(queries))
    drawn = set(queries[: max(count, 1) if recipe.probes else 0])
    return [pair for pair in pairs if pair.query_id in drawn]


def _says_simulated(pair: Pair) -> bool:
    return pair.meta.get("simulated", "").strip().casefold() not in ("", "0", "false", "no")

"""Data sets: the recipe that says how one is made, the card that says how it was made, and one row of it.

A recipe is a YAML document, called as people like; file names in it are relative to its folder::

    dataset: product-pool
    policy: product-search
    pool:
      kind: products                       # queries x documents: nearest neighbours and others at random
      queries: {golden: product-search}    # the dev queries of a golden set, or {file: queries.csv, fields: {...}}
      documents: {file: products.csv, fields: {name: title, description: short_description}}
      near: 60                             # a query
      random: 30
    judge: {kind: baseline}
    size: 10000                            # rows without probes; null: the whole pool
    choose: coverage                       # grade the whole pool, keep what covers level x dimension; or all
    seed: 0

The pool may also be a file of pairs (``kind: pairs``: CSV, TSV, JSONL, Parquet or Excel) whose columns are called
``query_<field>``, ``document_<field>`` and ``meta_<key>`` as in our exports, or as ``query`` and ``document`` map them;
or the dev pairs of a golden set that nobody has labelled (``kind: golden``); or pairs that a language model writes
within the job, where level x dimension is not covered::

    pool:
      kind: synthetic
      model: {model: openai/gpt-5-mini, cap_usd: 5}
      golden: product-search               # its dev pairs are the seeds
      count: 500                           # asked for; what repeats or leaks is dropped
      per_call: 5
      seeds_per_call: 3
      cells: auto                          # or [{dimension: intent, level: 4}, …]
      variants: [pair, query, document]    # both sides new, a new query to a seed's document, or the other way

What was asked for is no label: the judge grades written pairs like any others (:mod:`workbench.synthesis`).

``summarise`` has a model shorten long fields once the full texts are graded (:mod:`workbench.dataset_summaries`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from workbench.dataset_summaries import SummariesCard, Summarise
from workbench.errors import BadInput, NotFound
from workbench.golden import Pair
from workbench.identity import Value, content_hash
from workbench.near_duplicates import THRESHOLD
from workbench.policy import Filled, Name, Text
from workbench.resampling import Estimate
from workbench.run import JudgeIdentity, Judgement, JudgeSpec, Usage
from workbench.synthesis_recipe import SynthesisReport, SyntheticPool
from workbench.yamltext import YamlText, describe, validate

RowSplit = Literal["train", "validation"]
Neighbours = Literal["auto", "minilm", "words"]

MOST_A_QUERY = 10_000


class Texts(Value):
    """Where one side of a product of queries and documents comes from: a file, or the dev pairs of a golden set."""

    file: Filled | None = Field(default=None, description="Table with a row a text, relative to the recipe.")
    golden: Name | None = Field(default=None, description="Golden set whose dev pairs give the texts.")
    fields: dict[str, Filled] = Field(
        default_factory=dict,
        description="Field of the policy -> column; by default, columns named like fields.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Texts:
        if (self.file is None) == (self.golden is None):
            raise ValueError("give either 'file' or 'golden'")
        if self.golden is not None and self.fields:
            raise ValueError("'fields' maps the columns of a file; a golden set has its fields already")
        return self


class PairsPool(Value):
    """A file with a row a pair."""

    kind: Literal["pairs"] = "pairs"
    file: Filled = Field(description="Table of pairs, relative to the recipe.")
    query: dict[str, Filled] = Field(
        default_factory=dict, description="Field -> column; by default query_<field>."
    )
    document: dict[str, Filled] = Field(
        default_factory=dict, description="Field -> column; by default document_<field>."
    )


class GoldenPool(Value):
    """The dev pairs of a golden set that have no label."""

    kind: Literal["golden"] = "golden"
    golden: Name


class ProductsPool(Value):
    """Each query with its nearest documents and with some at random."""

    kind: Literal["products"] = "products"
    queries: Texts
    documents: Texts
    near: int = Field(default=60, ge=0, le=MOST_A_QUERY, description="Nearest documents of a query.")
    random: int = Field(
        default=30, ge=0, le=MOST_A_QUERY, description="Other documents of a query, at random."
    )
    compare: tuple[Filled, ...] = Field(
        default=(),
        description="Fields, of either side, by which near is measured; none: all. MiniLM reads short ones much faster.",
    )
    neighbours: Neighbours = Field(
        default="auto",
        description="What near means: minilm, words (TF-IDF), or auto: MiniLM where installed.",
    )

    @model_validator(mode="after")
    def _some(self) -> ProductsPool:
        if self.near + self.random == 0:
            raise ValueError("'near' and 'random' are both 0, so there is no pair")
        return self


Pool = Annotated[PairsPool | GoldenPool | ProductsPool | SyntheticPool, Field(discriminator="kind")]


class DatasetRecipe(Value):
    """How a data set is made; see the module's docstring for the form of its file."""

    dataset: Name
    description: Text = ""
    policy: Name = Field(description="Policy under which the judge grades.")
    policy_version: int | None = Field(default=None, ge=1, description="null: the newest when it is started.")
    pool: Pool
    judge: JudgeSpec
    golden: Name | None = Field(
        default=None,
        description="Golden set whose dev labels give probes and teach judges that learn; null: the one named like "
        "the policy, if there is one.",
    )
    probes: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of the labelled dev queries whose pairs are mixed in and graded blind.",
    )
    size: int | None = Field(default=10_000, ge=1, description="Rows besides probes; null: the whole pool.")
    choose: Literal["all", "coverage"] = Field(
        default="all",
        description="all: draw 'size' pairs of the pool at random and grade those. coverage: grade the whole pool and "
        "keep 'size' pairs that cover level x dimension.",
    )
    near_duplicates: float | None = Field(
        default=THRESHOLD,
        gt=0,
        le=1,
        description="Jaccard similarity of both sides from which a pair is one too many; null: only equal ones are.",
    )
    holdout_documents: Literal["keep", "drop"] = Field(
        default="keep",
        description="drop: also without pairs whose document is near one of the holdout. Golden sets are split by "
        "query, so a document alone gives no label away.",
    )
    validation: float = Field(default=0.1, ge=0, lt=1, description="Share of queries marked as validation.")
    summarise: Summarise | None = Field(
        default=None, description="Fields that a model shortens once the full texts are graded; null: none."
    )
    simulated: bool = Field(default=False, description="The pool was made up, and its data is to say so.")
    seed: int = Field(default=0, ge=0)

    @property
    def content_hash(self) -> str:
        """Identity of the recipe by content.

        A field that came later and is left at its default is not counted, so that old recipes keep their identity.
        """
        data = self.model_dump(mode="json")
        if data["summarise"] is None:
            del data["summarise"]
        return content_hash("dataset-recipe", data)


class Source(Value):
    """Something that the pool was made of."""

    name: str  # a file's name, or a golden set with its version
    rows: int
    content_hash: str


class CheckedSet(Value):
    """A golden set against whose holdout the pool was checked."""

    golden: str
    holdout_pairs: int
    holdout_hash: str  # over the ids of its holdout pairs


class Counts(Value):
    """How many pairs there were at each step. ``dropped`` says why the others are not in the data set."""

    found: int  # in the pool's source, or written by a model; without probes
    dropped: dict[str, int] = {}
    graded: int = 0  # asked of the judge, probes included
    rows: int = 0  # of the data set, probes included
    probes: int = 0
    queries: int = 0
    validation: int = 0  # rows
    synthetic: int = 0  # rows that a model wrote
    of_holdout_documents: int = (
        0  # rows whose document is near one of the holdout; kept unless the recipe says so
    )


class LevelRate(Value):
    """How often a level (or N/A) holds in the pool, by the judge and corrected by the probes."""

    level: int
    judge: float | None
    corrected: Estimate


class DimensionQuality(Value):
    """What is known of the labels on one dimension. Counts and shares are over the rows, probes left out."""

    dimension: str
    levels: tuple[int, ...]
    graded: tuple[
        int, ...
    ]  # rows to which the judge gave each level: for most judges that of highest probability
    mass: tuple[
        float, ...
    ]  # mean probability of each level over the rows with a level; () where there is none
    not_applicable: int
    failed: int
    soft: int  # rows with probabilities; the others count as certain
    entropy_bits: float | None  # mean over those
    probes: int  # probes to which people and the judge gave a level
    probes_failed: int
    kappa_quadratic: Estimate
    exact: Estimate
    rates: tuple[LevelRate, ...]  # each level ascending, then N/A, of the whole graded pool


class DatasetCard(Value):
    """Everything that is known of a data set: it lies beside the rows as ``card.json``."""

    dataset: str
    description: str = ""
    content_hash: str  # over the rows, the policy and the judge
    made_at: datetime
    author: str = ""
    recipe: DatasetRecipe
    recipe_hash: str
    policy: str
    policy_version: int
    policy_hash: str
    judge: JudgeIdentity
    sources: tuple[Source, ...]
    golden: str = ""  # label of the snapshot with the probes
    golden_hash: str = ""
    checked: tuple[CheckedSet, ...] = ()
    counts: Counts
    quality: tuple[DimensionQuality, ...] = ()
    summaries: SummariesCard | None = None  # of the fields that a model shortened; its usage is apart
    usage: Usage = (
        Usage()
    )  # what all answers of the judge took; those from the verdict cache had been paid for
    synthesis: SynthesisReport | None = None  # of a pool that a model wrote; its usage is apart
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    simulated: bool = False
    code_revision: str = ""

    @property
    def id(self) -> str:
        """Name and the beginning of the hash: what the data set's folder is called."""
        return dataset_id(self.dataset, self.content_hash)


@dataclass(frozen=True)
class DatasetRow:
    """One pair of a data set with what the judge said of it: no rationale, every dimension in the policy's order."""

    pair: Pair
    split: RowSplit
    is_probe: bool  # a dev pair of a golden set: its true labels are known elsewhere
    judgements: tuple[Judgement, ...]

    def logical(self) -> list[Any]:
        """Return what the row says, as plain data: what the content hash of a data set is over."""
        answers = [[j.dimension, j.grade, j.expected, j.probabilities] for j in self.judgements]
        return [self.pair.id, self.pair.meta, self.split, self.is_probe, answers]


def dataset_id(name: str, content_hash: str) -> str:
    """Return what a data set of this name and content is called among others."""
    return f"{name}-{content_hash.rpartition('-')[2][:8]}"


def parse_recipe(text: str, where: str) -> DatasetRecipe:
    """Return the recipe that YAML ``text`` says; ``where`` names it in errors.

    Raises:
        BadInput: one sentence with file, line, place and reason.
    """
    source = YamlText(text, where)
    return validate(DatasetRecipe, source.data, where, source)


def with_changes(recipe: DatasetRecipe, changes: Mapping[str, Any]) -> DatasetRecipe:
    """Return a recipe with fields replaced by dotted name, such as ``{"pool.near": 20}``.

    Raises:
        NotFound: for a field that the recipe does not have.
        BadInput: for a value that does not fit, with its place.
    """
    data = recipe.model_dump(mode="json")
    for name, value in changes.items():
        *path, last = name.split(".")
        place: Any = data
        for part in path:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            known = [*data, *(f"{key}.{inner}" for key in ("pool", "judge") for inner in data[key])]
            raise NotFound.among("field of a data set recipe", name, known)
        place[last] = value
    try:
        return DatasetRecipe.model_validate(data)
    except ValidationError as error:
        raise BadInput(*describe(error, f"Recipe {recipe.dataset}")) from error

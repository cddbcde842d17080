"""The rows of a data set with summaries in the place of long texts, and what its card says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from workbench.dataset import DatasetRow
from workbench.dataset_summaries import (
    FAILED,
    SAME,
    FieldSummaries,
    SummariesCard,
    Summarise,
    is_long,
    shortened,
    template_hash,
    text_id,
    texts_of,
)
from workbench.golden import Pair
from workbench.policy import Layout
from workbench.run import Usage
from workbench.token_count import count_tokens

EXAMPLES = 5
"""Reasons of failures that a card names."""


class Summaries:
    """The summaries of a data set's rows, and the rows made of them."""

    def __init__(
        self,
        asked: Summarise,
        layout: Layout,
        summaries: Mapping[str, str],
        usage: Usage,
        failures: Sequence[str] = (),
    ) -> None:
        """Take what was asked for and what came of it.

        Args:
            asked: the step of the recipe.
            layout: the policy's sides.
            summaries: identity of a text -> its summary.
            usage: what the calls for them took.
            failures: why some texts have none.
        """
        self._asked, self._layout, self._summaries = asked, layout, summaries
        self._usage, self._failures = usage, failures
        self.ids: dict[str, str] = {}
        """Id of a full pair -> id of the pair in the rows; what was left out is not in it."""

    def sort_out(self, pairs: Iterable[Pair]) -> dict[str, str]:
        """Return id of a full pair -> why it cannot be a row; call it once, with all pairs in a stable order."""
        left_out: dict[str, str] = {}
        taken: set[str] = set()
        for pair in pairs:
            short = self.short(pair)
            if short is None:
                left_out[pair.id] = FAILED
            elif short.id in taken:
                left_out[pair.id] = SAME
            else:
                taken.add(short.id)
                self.ids[pair.id] = short.id
        return left_out

    def short(self, pair: Pair) -> Pair | None:
        """Return a pair with its long fields summarised; None where a summary is missing."""
        return shortened(self._asked, self._layout, pair, self._summaries)

    def rows(self, full: Iterable[DatasetRow]) -> Iterator[DatasetRow]:
        """Yield the rows with short texts, in the order of the full ones."""
        for row in full:
            short = self.short(row.pair)
            if short is not None:
                yield DatasetRow(short, row.split, row.is_probe, row.judgements)

    def card(self, fields: tuple[FieldSummaries, ...], full_hash: str) -> SummariesCard:
        """Return what a card says of them.

        Args:
            fields: what :meth:`fields` says of all pairs that were to be rows.
            full_hash: content hash of the rows with the full texts.
        """
        model = self._asked.model
        return SummariesCard(
            model=model.model,
            endpoint=model.base_url or "",
            params=model.params,
            words=self._asked.words,
            instructions=self._asked.instructions,
            template=template_hash(),
            fields=fields,
            failures=tuple(dict.fromkeys(self._failures))[:EXAMPLES],
            usage=self._usage,
            full_hash=full_hash,
        )

    def fields(self, graded: Iterable[Pair]) -> tuple[FieldSummaries, ...]:
        """Return what became of the different texts of each field; ``graded`` are all pairs that were to be rows."""
        texts: dict[str, dict[str, str]] = {name: {} for name in self._asked.fields}
        for pair in graded:
            for name, text in texts_of(self._asked, self._layout, pair).items():
                texts[name].setdefault(text_id(text), text)
        return tuple(self._counted(name, different) for name, different in texts.items())

    def _counted(self, field: str, texts: Mapping[str, str]) -> FieldSummaries:
        short = {key for key, text in texts.items() if not is_long(self._asked, text)}
        here = [key for key in texts if key in short or key in self._summaries]
        return FieldSummaries(
            field=field,
            texts=len(texts),
            short_enough=len(short),
            failed=len(texts) - len(here),
            tokens_before=sum(count_tokens(texts[key]) for key in here),
            tokens_after=sum(
                count_tokens(texts[key] if key in short else self._summaries[key]) for key in here
            ),
        )

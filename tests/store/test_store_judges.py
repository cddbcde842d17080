"""Judges under names of their own: changed by one at a time, put aside and brought back, tested or not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from workbench.errors import Conflict, NotFound
from workbench.run import (
    BaselineSpec,
    CalibratedSpec,
    CascadeSpec,
    CheckpointSpec,
    EnsembleSpec,
    JudgeSpec,
    LlmSpec,
    PluginSpec,
)
from workbench.store.judges import JudgeStore

MODEL = LlmSpec(model="openai/m", api_key_env="OUR_KEY", params={"temperature": 0.5}, repeats=3)


@pytest.fixture
def store(url: str) -> Iterator[JudgeStore]:
    opened = JudgeStore(url)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "spec",
    [
        MODEL,
        BaselineSpec(),
        CheckpointSpec(checkpoint="student", folder="var/x"),
        PluginSpec(plugin="ours", params={"depth": [1, {"漢": None}]}),
        CalibratedSpec(judge=MODEL),
        EnsembleSpec(members=(MODEL, CalibratedSpec(judge=MODEL)), weights=(1, 2)),
        CascadeSpec(first=MODEL, second=BaselineSpec(), sure_at=0.9),
    ],
    ids=lambda spec: spec.kind,
)
def test_a_judge_comes_back_as_it_was(store: JudgeStore, spec: JudgeSpec) -> None:
    before = datetime.now(UTC)
    saved = store.save_judge("ours", spec, "Asks the small model.\u2028 漢", "Ida")
    assert store.judge("ours") == saved
    assert (saved.spec, saved.note, saved.author) == (spec, "Asks the small model.\u2028 漢", "Ida")
    assert (saved.revision, saved.tested, saved.retired_at) == (1, None, None)
    assert before <= saved.at <= datetime.now(UTC)


def test_judges_are_listed_by_name(store: JudgeStore) -> None:
    for name in ("b", "a", "C", "a.2"):
        store.save_judge(name, MODEL, "", "Ida")
    assert list(store.judges()) == ["C", "a", "a.2", "b"]  # as Python sorts, on both databases
    with pytest.raises(NotFound, match="No saved judge is called 'a\\.3'") as missing:
        store.judge("a.3")
    assert "a.2" in missing.value.hint


def test_a_name_is_given_once(store: JudgeStore) -> None:
    store.save_judge("ours", MODEL, "", "Ida")
    with pytest.raises(Conflict, match="There is a judge 'ours' already, by Ida"):
        store.save_judge("ours", BaselineSpec(), "", "Bo")
    store.retire_judge("ours", "Bo")
    with pytest.raises(Conflict, match="name of a retired judge"):
        store.save_judge("ours", BaselineSpec(), "", "Bo")
    assert store.judge("ours").spec == MODEL


def test_of_two_changes_at_once_the_second_is_refused(store: JudgeStore) -> None:
    opened = store.save_judge("ours", MODEL, "", "Ida")
    store.save_judge("ours", MODEL, "Bo's note", "Bo", opened.revision)
    with pytest.raises(Conflict, match="Bo changed 'ours' at"):
        store.save_judge("ours", BaselineSpec(), "", "Ida", opened.revision)
    now = store.judge("ours")
    assert (now.spec, now.note, now.author, now.revision) == (MODEL, "Bo's note", "Bo", 2)
    with pytest.raises(NotFound):
        store.save_judge("theirs", MODEL, "", "Ida", 1)
    assert list(store.judges()) == ["ours"]


def test_retired_and_restored(store: JudgeStore) -> None:
    store.save_judge("ours", MODEL, "", "Ida")
    store.save_judge("theirs", MODEL, "", "Ida")
    first = store.retire_judge("ours", "Bo").retired_at
    assert first is not None
    assert store.retire_judge("ours", "Bo").retired_at == first  # a second click changes nothing
    assert list(store.judges()) == ["theirs"]
    assert list(store.judges(retired=True)) == ["ours", "theirs"]
    assert store.restore_judge("ours", "Bo").retired_at is None
    assert list(store.judges()) == ["ours", "theirs"]
    done = [(event["who"], event["what"], event["subject"]) for event in reversed(store.events())]
    assert done == [
        ("Ida", "added judge", "ours"),
        ("Ida", "added judge", "theirs"),
        ("Bo", "retired judge", "ours"),
        ("Bo", "restored judge", "ours"),
    ]
    for missing in (store.retire_judge, store.restore_judge):
        with pytest.raises(NotFound):
            missing("nobody", "Bo")


def test_an_outcome_stays_until_the_judge_is_another(store: JudgeStore) -> None:
    saved = store.save_judge("ours", MODEL, "", "Ida")
    assert store.set_tested("ours", {"works": True, "said": "ok"}, revision=saved.revision)
    saved = store.save_judge("ours", MODEL, "a note", "Ida", saved.revision)
    assert saved.tested == {"works": True, "said": "ok"}
    saved = store.save_judge("ours", BaselineSpec(), "a note", "Ida", saved.revision)
    assert saved.tested is None
    # An outcome of what it was before says nothing of what it is now.
    assert not store.set_tested("ours", {"works": True}, revision=saved.revision - 1)
    assert not store.set_tested("nobody", {"works": True}, revision=1)
    assert store.judge("ours").tested is None

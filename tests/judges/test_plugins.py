"""Judges from installed packages: found, checked, and what becomes of their mistakes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from judge_samples import pairs, small_policy, verdicts_of
from plugin_samples import documented, install, package
from workspace_samples import NAME, golden_set, pair

from workbench import jobs
from workbench.errors import BadInput, NotFound, Unavailable
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.judge_runs import start_run
from workbench.judges.build import build_judge
from workbench.judges.inputs import Inputs
from workbench.judges.plugins import installed_plugins, plugin_judge
from workbench.run import CapReached, Judge, PluginSpec, Usage, Verdict
from workbench.workspace import Workspace

SMALL = small_policy()  # topic 0-4, tone 0-2 or N/A

Offer = Callable[..., Judge]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, as site-packages is."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def offered(site: Path) -> Offer:
    """Install a plugin of its own name whose ``grade`` has the given body, and return its judge."""

    def make(name: str, body: str, **params: Any) -> Judge:
        code = f"""
from workbench.errors import *
from workbench.run import *


class Own:
    identity = JudgeIdentity(kind="plugin", name="own", params={{"depth": 2}})

    async def grade(self, policy, pairs):
        def fine(pair, **more):
            both = (Judgement(dimension="topic", grade=1), Judgement(dimension="tone", grade=1))
            return Verdict(**{{"pair_id": pair.id, "judgements": both}} | more)

        pairs = list(pairs)
{_indented(body, 8)}


def make(depth=1, *, style="plain"):
    \"\"\"Grades by depth.

    And says more.
    \"\"\"
    return Own()
"""
        install(site, package(name, code))
        return plugin_judge(PluginSpec(plugin=name, params=params))

    return make


def _indented(code: str, by: int) -> str:
    return "\n".join(" " * by + line for line in dedent(code).strip().splitlines())


def answers(judge: Judge, count: int = 1) -> list[Verdict]:
    return verdicts_of(judge, SMALL, pairs(count))


def until_the_end(judge: Judge, asked: list[Pair]) -> tuple[list[Verdict], Exception | None]:
    """What came, and the error that ended it."""

    async def collect() -> tuple[list[Verdict], Exception | None]:
        found: list[Verdict] = []
        try:
            async for verdict in judge.grade(SMALL, asked):
                found.append(verdict)
        except Exception as error:
            return found, error
        return found, None

    return asyncio.run(collect())


def errors_of(verdict: Verdict) -> dict[str, str]:
    return {j.dimension: j.error for j in verdict.judgements if j.failed}


def test_the_package_in_the_docs_grades(site: Path, tmp_path: Path) -> None:
    assert set(documented()) == {"pyproject.toml", "overlap_judge.py"}
    install(site, documented())
    (info,) = [p for p in installed_plugins() if p.name == "overlap"]
    assert (info.package, info.version, info.problem) == ("overlap-judge", "1.0.2", "")
    assert info.summary == "Word overlap; words shorter than `least` letters do not count."
    spec = PluginSpec(plugin="overlap", params={"least": 5})
    inputs = Inputs(SMALL, (), {}, None)  # type: ignore[arg-type]  # a plugin reads no labels
    judge = build_judge(spec, inputs, tmp_path / "cache")
    asked = Pair(query={"text": "green apple"}, document={"title": "a green pear", "body": ""})
    (verdict,) = verdicts_of(judge, SMALL, [asked])
    # Of "green" and "apple" one is there: half of the scale 0-4 is 2, and of 0-2 it is 1.
    assert [(j.dimension, j.grade) for j in verdict.judgements] == [("topic", 2), ("tone", 1)]
    assert judge.identity.kind == "plugin"
    assert judge.identity.name == "overlap"
    assert judge.identity.params == {
        "package": "overlap-judge",
        "version": "1.0.2",
        "params": {"least": 5},
        "judge": {"name": "overlap", "params": {"least": 5}},
    }


def test_the_package_in_the_docs_runs_in_a_worker(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(install(tmp_path / "site", documented())))  # the worker's own path
    pairs_of_teas = [pair("smoky black tea", "Smoky black tea"), pair("smoky black tea", "Mint")]
    golden_set(workspace, [(p, {"taste": 1}) for p in pairs_of_teas])
    run = start_run(workspace, PluginSpec(plugin="overlap"), policy=NAME, golden="tea", author="Ida")
    list(jobs.wait(workspace, [f"job-{run.id}"]))
    done = workspace.store.run(run.id)
    assert (done.status, done.error) == ("finished", "")
    assert (done.totals.pairs, done.totals.failed) == (2, 0)
    assert done.judge.params["package"] == "overlap-judge"
    # The guest's words: smoky, black, tea, calm. Of four the first tea has three: round(2 x 0.75) = 2 of taste 0-2,
    # and round(1 x 0.75) = 1 of strength 0-1. "Mint" has "tea" in its notes: one of four, so 0 and 0.
    found = workspace.store.grades(run.id).set_index(["pair_id", "dimension"])["grade"].to_dict()
    assert found == {
        (pairs_of_teas[0].id, "taste"): 2,
        (pairs_of_teas[0].id, "strength"): 1,
        (pairs_of_teas[1].id, "taste"): 0,
        (pairs_of_teas[1].id, "strength"): 0,
    }


def test_a_name_that_nobody_offers(site: Path) -> None:
    install(site, documented())
    with pytest.raises(NotFound, match="No installed judge plugin is called 'overlop'") as missing:
        plugin_judge(PluginSpec(plugin="overlop"))
    assert missing.value.hint == "Did you mean overlap?"


def test_two_packages_of_one_name(site: Path) -> None:
    install(site, documented())
    twin = documented()["pyproject.toml"].replace("overlap-judge", "other-judge")
    install(site, documented() | {"pyproject.toml": twin})
    with pytest.raises(BadInput, match="Several packages offer a judge 'overlap'"):
        plugin_judge(PluginSpec(plugin="overlap"))


def test_parameters_that_do_not_fit(offered: Offer) -> None:
    offered("fits", "yield fine(pairs[0])", depth=3, style="x")
    with pytest.raises(
        BadInput, match=r"'strict' \(strict 0\.1\) does not take these parameters: .*'deep'"
    ) as wrong:
        offered("strict", "yield fine(pairs[0])", deep=3)
    assert wrong.value.hint == "It takes: depth, style."
    with pytest.raises(BadInput, match="'api_key' is a secret"):
        offered("open", "yield fine(pairs[0])", api_key="x")


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("breaks", "raise OSError('no disk')", r"\(breaks 0\.1\) could not be started: OSError: no disk"),
        ("leaves", "def make(): raise SystemExit(3)", r"could not be started: SystemExit: 3"),
        ("fails", "def make(): return 1 / 0", "could not be started: ZeroDivisionError"),
        ("empty", "def make(): return None", "is no judge: its identity is a NoneType"),
        ("named", "class make: identity = 'me'", "is no judge: its identity is a str"),
        ("idle", "class make: identity = ID", "is no judge: it has no method grade"),
        (
            "waits",
            "class make:\n    identity = ID\n    async def grade(self, policy, pairs): return []",
            "is no judge: its grade is no async generator",
        ),
        (
            "plain",
            "class make:\n    identity = ID\n    def grade(self, policy, pairs): yield 1",
            "is no judge: its grade is no async generator",
        ),
        (
            "odd",
            "class make:\n    identity = JudgeIdentity(kind='plugin', name='x', params={'a': float('nan')})\n"
            "    async def grade(self, policy, pairs): yield 1",
            "has an identity that is not JSON",
        ),
    ],
)  # fmt: skip
def test_what_is_no_judge_is_one_sentence(site: Path, name: str, code: str, says: str) -> None:
    head = "from workbench.run import JudgeIdentity\nID = JudgeIdentity(kind='plugin', name='x')\n"
    install(site, package(name, head + code))
    with pytest.raises(Unavailable, match=says) as refused:
        plugin_judge(PluginSpec(plugin=name))
    assert f"'{name}' ({name} 0.1)" in refused.value.message
    assert "\n" not in refused.value.message


def test_a_package_that_cannot_be_imported_is_listed_with_its_reason(site: Path) -> None:
    install(site, package("torn", "import nothing_of_that_name"))
    (info,) = [p for p in installed_plugins() if p.name == "torn"]
    assert info.problem == "ModuleNotFoundError: No module named 'nothing_of_that_name'"
    assert info.summary == ""


@pytest.mark.parametrize(
    ("name", "judgement", "says"),
    [
        ("high", "grade=5", "grade 5 is outside the scale 0, 1, 2, 3, 4"),
        ("na", f"grade={NOT_APPLICABLE}", "N/A, which the dimension does not allow"),
        ("mute", f"grade={NOT_GRADED}", "the plugin gave no grade and no reason"),
        ("says", f"grade={NOT_GRADED}, error='too long'", "too long"),
        ("mean", "grade=1, expected=4.5", "the expected grade 4.5 is outside the scale"),
        ("few", "grade=1, probabilities=(0.5, 0.5)", "2 probabilities for 5 levels"),
        ("sum", "grade=1, probabilities=(0.5, 0.4, 0, 0, 0)", "do not sum to 1"),
        ("sign", "grade=1, probabilities=(1.5, -0.5, 0, 0, 0)", "not between 0 and 1"),
    ],
)
def test_an_answer_that_does_not_fit_is_a_failed_judgement(
    offered: Offer, name: str, judgement: str, says: str
) -> None:
    given = (
        f"(Judgement(dimension='topic', {judgement}), Judgement(dimension='tone', grade={NOT_APPLICABLE}))"
    )
    (verdict,) = answers(offered(name, f"yield fine(pairs[0], judgements={given})"))
    assert [j.grade for j in verdict.judgements][1] == NOT_APPLICABLE  # the other one stands
    assert list(errors_of(verdict)) == ["topic"]
    assert says in errors_of(verdict)["topic"]


def test_what_is_missing_unknown_or_given_twice(offered: Offer) -> None:
    judge = offered(
        "lacks",
        """
        topic, tone = fine(pairs[0]).judgements
        yield fine(pairs[0], judgements=(topic, Judgement(dimension="Tone", grade=1)))
        yield fine(pairs[1], judgements=(topic, topic, tone))
        yield fine(pairs[2], judgements=(topic,))
        yield fine(pairs[2], judgements=(tone,))
        yield fine(pairs[3], judgements=(topic,))
        yield fine(pairs[3], judgements=(topic, tone))
        yield Verdict(pair_id="pair-of-nobody", judgements=())
        yield fine(pairs[2])
        """,
    )
    found = {verdict.pair_id: verdict for verdict in answers(judge, 5)}
    asked = [pair.id for pair in pairs(5)]
    assert set(found) == set(asked)
    assert all([j.dimension for j in v.judgements] == ["topic", "tone"] for v in found.values())
    first, second, third, fourth, fifth = (errors_of(found[pair_id]) for pair_id in asked)
    assert first == {
        "tone": "the plugin gave no judgement about this dimension, but about the unknown 'Tone'"
    }
    assert second == {"topic": "the plugin graded this dimension twice"}
    assert third == {}  # a pair may be answered in parts
    assert fourth == {"topic": "the plugin graded this dimension twice"}
    assert set(fifth) == {"topic", "tone"}
    # Two: the pair of nobody, and the one that was answered already.
    assert "no verdict about this pair; it answered 2 times about pairs that it was not" in fifth["topic"]


def test_what_cannot_be_kept_is_failed_or_left_out(offered: Offer) -> None:
    judge = offered(
        "rough",
        r"""
        topic, tone = fine(pairs[0]).judgements
        nan = topic.model_copy(update={"probabilities": (float("nan"),) * 5})
        yield fine(pairs[0]).model_copy(update={"judgements": (nan, tone)})
        told = topic.model_copy(update={"rationale": "a\x00b", "cites": ("topic.1", "topic.9", "tone.p1")})
        usage = Usage(calls=-1, input_tokens=7, cost_usd=float("inf"), latency_ms=-3)
        yield fine(pairs[1], judgements=(told, tone), usage=usage, raw="x\x00" + "y" * 30_000)
        """,
    )
    broken, told = answers(judge, 2)
    assert "the plugin's verdict cannot be kept (judgements.0.probabilities.0" in errors_of(broken)["topic"]
    assert told.judgements[0].rationale == "a\ufffdb"
    assert told.judgements[0].cites == ("topic.1", "tone.p1")
    assert told.usage == Usage(input_tokens=7)
    assert (len(told.raw), told.raw[:3]) == (20_000, "x\ufffdy")


@pytest.mark.parametrize(
    ("name", "last", "says"),
    [
        ("crash", "raise ValueError('out of paper')", "failed after 1 of 3 pairs: ValueError: out of paper."),
        ("exits", "raise SystemExit(1)", "failed after 1 of 3 pairs: SystemExit: 1."),
        ("dict", "yield {'pair_id': 'x'}", "it answered with a dict and not with a Verdict"),
        ("ours", "raise Unavailable('The scale is locked.')", "The scale is locked."),
    ],
)
def test_an_error_ends_the_run_and_what_came_is_kept(
    offered: Offer, caplog: pytest.LogCaptureFixture, name: str, last: str, says: str
) -> None:
    body = f"yield fine(pairs[0])\nyield fine(pairs[1], judgements=fine(pairs[1]).judgements[:1])\n{last}"
    with caplog.at_level(logging.WARNING):
        found, error = until_the_end(offered(name, body), pairs(3))
    assert isinstance(error, Unavailable)
    assert says in error.message
    whole, partly = found
    assert errors_of(whole) == {}
    assert list(errors_of(partly)) == ["tone"]  # paid for, so it is told
    assert says in errors_of(partly)["tone"]
    # The authors of the package get the traceback; an error in the workbench's own words needs none.
    assert ("Traceback" in caplog.text) == (name != "ours")


def test_a_cap_of_a_plugin_is_a_cap(offered: Offer) -> None:
    found, error = until_the_end(
        offered("capped", "yield fine(pairs[0])\nraise CapReached('Stopped at 1 pair.')"), pairs(2)
    )
    assert isinstance(error, CapReached)
    assert len(found) == 1


def test_leaving_early_ends_the_plugin(offered: Offer, tmp_path: Path) -> None:
    mark = tmp_path / "closed"
    judge = offered(
        "long",
        f"""
        try:
            for pair in pairs:
                yield fine(pair)
        finally:
            open({str(mark)!r}, "w").close()
        """,
    )

    async def first() -> Verdict:
        verdicts: Any = judge.grade(SMALL, pairs(5))
        async for verdict in verdicts:
            await verdicts.aclose()
            return Verdict.model_validate(verdict)
        raise AssertionError("there was none")

    assert asyncio.run(first()).pair_id == pairs(1)[0].id
    assert mark.exists()


def test_no_key_comes_through(
    offered: Offer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = "wb-0123456789abcdef"
    monkeypatch.setenv("PLUGIN_API_KEY", key)
    judge = offered(
        "leaks",
        """
        import os
        key = os.environ["PLUGIN_API_KEY"]
        told = tuple(j.model_copy(update={"rationale": key}) for j in fine(pairs[0]).judgements)
        yield fine(pairs[0], judgements=told, raw=f"sent {key}")
        raise CapReached(f"{key} is spent.", key) if len(pairs) == 2 else ValueError(key)
        """,
    )
    for count in (2, 3):
        found, error = until_the_end(judge, pairs(count))
        assert isinstance(error, CapReached if count == 2 else Unavailable)
        assert len(found) == 1
        assert "[key]" in found[0].raw
        assert "[key]" in str(error)
        for said in (found[0].model_dump_json(), str(error), caplog.text):
            assert key not in said

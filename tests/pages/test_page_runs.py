"""The Runs page: what a run would send, starting one once, following it, opening what it did."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from job_samples import Held, answer, finish, folder_of, progress, publish, verdict
from page_samples import OpenPage, text_of
from streamlit.testing.v1 import AppTest

from workbench import jobs, judge_runs, markup
from workbench.agreement import agreement
from workbench.fake_provider import FakeProvider
from workbench.prices import model_price
from workbench.prompt import system_prompt
from workbench.run import BaselineSpec, JudgeIdentity, LlmSpec, Run, Usage
from workbench.workspace import Workspace

SECRET = "sk-a1b2c3d4e5f6"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Jobs that are started and do nothing."""
    return Held(monkeypatch)


def start_button(page: AppTest):
    """Return the Start button, whose key is made anew for every form."""
    return next(button for button in page.button if button.label == "Start run")


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def name_model(page: AppTest, model: str, base_url: str = "", variable: str = "") -> AppTest:
    """Fill in the language model."""
    page.text_input(key="model").set_value(model)
    page.text_input(key="base_url").set_value(base_url)
    page.text_input(key="key_variable").set_value(variable)
    page.run()
    assert not page.exception
    return page


def baseline_run(space: Workspace, key: str = "r1") -> Run:
    return judge_runs.start_run(space, BaselineSpec(), policy="fit", golden="bakers", author="anna", key=key)


def test_without_a_published_golden_set_the_page_says_what_to_do(
    space: Workspace, open_page: OpenPage
) -> None:
    assert "No golden sets yet" in text_of(open_page("runs"))
    space.store.create_golden("bakers", "fit")
    page = open_page("runs")
    assert "A golden set for fit is not published yet." in text_of(page)
    assert "Start run" not in labels(page)


def test_the_baseline_is_explained_and_started_once(
    space: Workspace, open_page: OpenPage, held: Held
) -> None:
    publish(space)
    page = open_page("runs")
    assert "needs no key" in text_of(page)
    assert "10 (6 dev, 4 holdout)" in text_of(page)
    assert "nothing: it runs on this machine" in text_of(page)
    first = start_button(page)
    first.click().run()
    assert not page.exception
    (run,) = space.store.runs()
    assert (run.judge.kind, run.policy_version, run.golden_version, run.author) == ("baseline", 1, 1, "anna")
    assert held.started == [f"job-{run.id}"]
    assert [message.value for message in page.success] == ["Started baseline · fit v1."]
    assert start_button(page).key != first.key  # the second click of a double click finds no button


def test_the_same_key_starts_one_run_and_leaves_its_record_alone(space: Workspace, held: Held) -> None:
    publish(space)
    run = baseline_run(space)
    finish(folder_of(space, f"job-{run.id}"))
    jobs.collect(space)
    again = baseline_run(space)
    assert (again.id, again.status) == (run.id, "finished")
    assert held.started == [f"job-{run.id}"]


def test_a_language_model_shows_what_it_would_send(
    space: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(space)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    page = name_model(open_page("runs", judge="llm"), "openai/gpt-5-mini")
    characters = len(system_prompt(space.store.policy("fit")))
    said = text_of(page)
    assert f"{characters:,} characters, " in said
    assert "tokens, counted with cl100k_base" in said
    assert "10; answers known from the cache: 0" in said
    assert 'cost</span></td><td><span style="overflow-wrap:anywhere">about $0.0' in said
    assert [w.value for w in page.warning] == [
        "`OPENAI_API_KEY` is not set where this app runs, so the run will fail. Set it and restart the app."
    ]
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    page.run()
    assert not page.warning
    assert "`OPENAI_API_KEY` is set." in text_of(page)
    assert SECRET not in text_of(page)


def test_the_cost_is_estimated_from_what_a_call_of_this_model_cost(
    space: Workspace, open_page: OpenPage, held: Held
) -> None:
    pairs = publish(space)
    # Not in the price list, so that only the run before says what a call costs.
    page = name_model(open_page("runs", judge="llm"), "openai/none-such")
    start_button(page).click().run()
    (run,) = space.store.runs()
    folder = folder_of(space, f"job-{run.id}")
    # Two calls at $0.75 together with eight answers from the cache: $0.75 a call, so $7.50 for ten pairs.
    paid, cached = Usage(calls=1, cost_usd=0.75), Usage(from_cache=True, cost_usd=0.0)
    answer(folder, [verdict(pair, 2, 1, usage=paid if i < 2 else cached) for i, pair in enumerate(pairs)])
    finish(folder)
    jobs.collect(space)
    page.run()
    assert "about $7.50, at what a call cost before" in text_of(page)
    table = page.dataframe[0].value
    assert (table["cost"][0], table["calls / cached"][0]) == ("$1.50", "2 / 8")


def test_the_settings_of_a_language_model_reach_the_job(
    space: Workspace, open_page: OpenPage, held: Held
) -> None:
    publish(space)
    page = name_model(open_page("runs", judge="llm"), "local", "http://127.0.0.1:9/v1/")
    assert "No key is sent to this server." in text_of(page)
    page.number_input(key="temperature").set_value(0.5)
    page.number_input(key="concurrency").set_value(3)
    page.number_input(key="repeat").set_value(2)
    start_button(page).click().run()
    (job,) = space.store.jobs()
    judge = job.spec.payload["judge"]
    assert judge["params"] == {"temperature": 0.5}  # an empty field is not sent
    assert (judge["concurrency"], judge["repeat"], judge["base_url"]) == (3, 2, "http://127.0.0.1:9/v1")


def test_how_it_is_asked_and_the_limits_reach_the_job(
    space: Workspace, open_page: OpenPage, held: Held
) -> None:
    publish(space)
    page = name_model(open_page("runs", judge="llm"), "openai/gpt-5-mini")
    assert {"How it is asked", "Answers", "Delivery and limits"} <= {
        expander.label for expander in page.expander
    }
    page.selectbox(key="mode_scope").set_value("dimension")
    page.selectbox(key="mode_reason").set_value("none")
    page.number_input(key="mode_pairs_per_call").set_value(4)
    page.run()
    assert not page.exception
    said = text_of(page)
    assert "one call per dimension, 4 pairs per call, no reason" in said
    # Ten pairs under two dimensions, each asked by itself, four pairs a call: three calls a dimension.
    assert "6; answers known from the cache: 0" in said
    page.number_input(key="cap_usd").set_value(2.5)
    page.number_input(key="cap_tokens").set_value(5000)
    page.number_input(key="requests_per_minute").set_value(60)
    start_button(page).click().run()
    assert not page.exception
    (job,) = space.store.jobs()
    judge = job.spec.payload["judge"]
    mode = {name: judge["mode"][name] for name in ("scope", "reason", "pairs_per_call", "level_order")}
    assert mode == {"scope": "dimension", "reason": "none", "pairs_per_call": 4, "level_order": "ascending"}
    assert (judge["cap_usd"], judge["cap_tokens"], judge["cap_seconds"]) == (2.5, 5000, None)
    assert (judge["requests_per_minute"], judge["tokens_per_minute"]) == (60, None)


def test_a_cap_on_money_is_refused_where_no_price_is_known(
    space: Workspace, open_page: OpenPage, held: Held
) -> None:
    publish(space)
    for model, base_url, named in (
        ("local", "http://127.0.0.1:9/v1", "this server"), ("openai/none-such", "", "openai/none-such"),
    ):  # fmt: skip
        page = name_model(open_page("runs", judge="llm"), model, base_url)
        page.number_input(key="cap_usd").set_value(1.0)
        start_button(page).click().run()
        (problem,) = page.error
        assert problem.value.replace("\\", "") == (
            f"**A cap on money cannot be held: the price of {named} is not known.** "
            "Cap the tokens or the time instead."
        )
    assert not space.store.runs()


def test_choices_that_do_not_go_together_are_refused(
    space: Workspace, open_page: OpenPage, held: Held
) -> None:
    publish(space)
    page = name_model(open_page("runs", judge="llm"), "openai/gpt-5-mini")
    page.selectbox(key="mode_scope").set_value("dimension")
    page.selectbox(key="mode_dimension_order").set_value("permuted")
    page.run()
    assert "has no order of dimensions" in page.error[0].value
    assert "Start run" not in labels(page)


@pytest.mark.parametrize(
    ("base_url", "variable", "sentence"),
    [
        ("", SECRET, "What is given for the key is not the name of an environment variable."),
        (
            f"http://user:{SECRET}@127.0.0.1/v1",
            "",
            "The address of the endpoint holds a user, a password or a query.",
        ),
        ("127.0.0.1:8000", "", "The address of the endpoint is not usable."),
    ],
)
def test_a_key_or_an_unusable_address_is_refused_before_anything_is_kept(
    space: Workspace, open_page: OpenPage, base_url: str, variable: str, sentence: str
) -> None:
    publish(space)
    page = name_model(open_page("runs", judge="llm"), "openai/gpt-5-mini", base_url, variable)
    (error,) = page.error
    assert error.value.replace("\\", "").startswith(f"**{sentence}**")
    assert SECRET not in error.value
    assert "Start run" not in labels(page)


def test_a_running_job_is_shown_and_can_be_ended(space: Workspace, open_page: OpenPage, held: Held) -> None:
    publish(space)
    run = baseline_run(space)
    job_id = f"job-{run.id}"
    folder = folder_of(space, job_id)
    progress(folder, 4, 10, "3 failed")
    page = open_page("runs")
    (bar,) = page.get("progress")
    assert bar.proto.value == 40
    assert bar.proto.text == "4 of 10 pairs graded · 3 failed"
    page.button(key=f"stop_{job_id}").click().run()
    assert folder.stop_asked() is not None
    # Right after that there is no Kill to be hit by a second click; later there is.
    assert [button.label for button in page.button if button.key.endswith(job_id)] == ["Stopping"]
    long_ago = (datetime.now(UTC) - timedelta(minutes=1)).timestamp()
    os.utime(folder.path / "stop", (long_ago, long_ago))
    page.run()
    page.button(key=f"kill_{job_id}").click().run()
    assert held.killed == [job_id]


def test_a_finished_run_opens_with_its_agreement(space: Workspace, open_in_app: OpenPage, held: Held) -> None:
    pairs = publish(space)
    run = baseline_run(space)
    folder = folder_of(space, f"job-{run.id}")
    # The labels are skills 2, 0, 2, 0 …; of the six dev pairs the judge errs by one on the second.
    answer(folder, [verdict(pair, 1 if i == 1 else 2 - 2 * (i % 2), 1) for i, pair in enumerate(pairs)])
    finish(folder)
    page = open_in_app("runs", run=run.id)
    assert space.store.run(run.id).status == "finished"  # collected by opening the page
    kappa = agreement([2, 1, 2, 0, 2, 0], [2, 0, 2, 0, 2, 0], list("aabbcc"), (0, 1, 2)).kappa_quadratic.value
    said = text_of(page)
    assert f'<td>Skills</td><td class="num">6</td><td class="num">0</td><td class="num">{kappa:.2f}' in said
    assert '<td class="num">0.83</td>' in said  # exact: 5 of 6
    assert not [button for button in page.button if button.label == "Resume"]
    (link,) = [link for link in page.get("page_link") if link.proto.label == "Compare with this run"]
    assert link.proto.query_string == f"golden=bakers&run={run.id}"


def test_failed_judgements_are_listed_with_their_raw_reply_as_text(
    space: Workspace, open_in_app: OpenPage, held: Held
) -> None:
    pairs = publish(space)
    run = baseline_run(space)
    folder = folder_of(space, f"job-{run.id}")
    bad = verdict(pairs[0], 0, 0, error="the reply is empty", raw="<script>x</script>")
    answer(folder, [bad, *(verdict(pair, 2, 1) for pair in pairs[1:])])
    finish(folder)
    page = open_in_app("runs", run=run.id)
    said = text_of(page)
    assert "Failed judgements (2)" in [expander.label for expander in page.expander]
    assert "<td>skills, wishes</td><td>the reply is empty<details" in said
    assert "&lt;script&gt;x&lt;/script&gt;" in said
    assert "<script>x" not in said


def test_a_failed_run_says_why_and_is_resumed(space: Workspace, open_in_app: OpenPage, held: Held) -> None:
    publish(space)
    run = baseline_run(space)
    job_id = f"job-{run.id}"
    finish(folder_of(space, job_id), "failed", "There are too few labels.", "Label more pairs.")
    page = open_in_app("runs", run=run.id)
    assert [e.value.replace("\\", "") for e in page.error] == ["There are too few labels. Label more pairs."]
    page.button(key=f"resume_{job_id}").click().run()
    assert not page.exception
    assert held.started == [job_id, job_id]
    again = space.store.run(run.id)
    assert again.status in ("queued", "running")
    assert again.error == ""


def model_run(space: Workspace, model: str = "openai/gpt-5-mini", key: str = "m1", **more: Any) -> Run:
    judge = LlmSpec(model=model, **more)
    return judge_runs.start_run(space, judge, policy="fit", golden="bakers", author="anna", key=key)


def test_a_run_that_stopped_at_its_cap_goes_on_with_another_one(
    space: Workspace, open_in_app: OpenPage, held: Held
) -> None:
    pairs = publish(space)
    run = model_run(space, cap_usd=0.5, cap_tokens=4000)
    job_id = f"job-{run.id}"
    folder = folder_of(space, job_id)
    answer(folder, [verdict(pair, 2, 1) for pair in pairs[:3]])
    finish(folder, "capped", "Stopped at the cap of $0.50: $0.4990 is spent.", "What was graded is kept.")
    page = open_in_app("runs", run=run.id)
    assert [w.value.replace("\\", "") for w in page.warning] == [
        "Stopped at the cap of $0.50: $0.4990 is spent. What was graded is kept."
    ]
    assert not page.error
    assert "Resume" not in labels(page)  # it would stop again at once
    cap = page.number_input(key=f"cap:{job_id}:cap_usd")
    assert cap.value == 0.5
    cap.set_value(2.0)
    page.number_input(key=f"cap:{job_id}:cap_tokens").set_value(None)
    page.checkbox(key=f"cap:{job_id}:anew").set_value(True)
    page.button(key=f"go_on:{job_id}").click().run()
    assert not page.exception
    assert not page.error
    judge = folder.spec().payload["judge"]
    assert (judge["cap_usd"], judge["cap_tokens"], judge["cap_seconds"]) == (2.0, None, None)
    assert folder.period_start() == 3  # what the three answers took does not count any more
    assert held.started == [job_id, job_id]
    assert space.store.run(run.id).status in ("queued", "running")
    jobs.resume(space, job_id, "anna", caps={"cap_usd": 9.0})  # the second click of a double click
    assert held.started == [job_id, job_id]


def test_a_capped_run_that_ends_at_another_cap_shows_the_newer_one(
    space: Workspace, open_in_app: OpenPage, held: Held
) -> None:
    publish(space)
    run = model_run(space, cap_tokens=4000)
    job_id = f"job-{run.id}"
    finish(folder_of(space, job_id), "capped", "Stopped at the cap of 4,000 tokens.")
    page = open_in_app("runs", run=run.id)
    page.number_input(key=f"cap:{job_id}:cap_tokens").set_value(8000)
    page.button(key=f"go_on:{job_id}").click().run()
    finish(folder_of(space, job_id), "capped", "Stopped at the cap of 8,000 tokens.")
    page = open_in_app("runs", run=run.id)
    assert page.number_input(key=f"cap:{job_id}:cap_tokens").value == 8000


def test_what_failed_in_a_finished_run_is_asked_again(
    space: Workspace, open_in_app: OpenPage, held: Held
) -> None:
    pairs = publish(space)
    run = model_run(space)
    job_id = f"job-{run.id}"
    folder = folder_of(space, job_id)
    bad = verdict(pairs[0], 0, 0, error="the reply is empty")
    answer(folder, [bad, *(verdict(pair, 2, 1) for pair in pairs[1:])])
    finish(folder)
    page = open_in_app("runs", run=run.id)
    assert page.button(key=f"retry_{job_id}").label == "Ask the 2 failed again"
    page.button(key=f"retry_{job_id}").click().run()
    assert not page.exception
    assert held.started == [job_id, job_id]
    answer(folder, [verdict(pairs[0], 2, 1)])
    finish(folder)
    page = open_in_app("runs", run=run.id)
    assert space.store.run(run.id).totals.failed == 0
    assert not [label for label in labels(page) if label.startswith("Ask the")]


def test_what_a_run_took_and_saved_is_said(space: Workspace, open_in_app: OpenPage, held: Held) -> None:
    pairs = publish(space)
    run = model_run(space)
    folder = folder_of(space, f"job-{run.id}")
    paid = Usage(calls=1, input_tokens=1000, cached_input_tokens=250, output_tokens=50, cost_usd=0.02)
    known = Usage(from_cache=True, cost_usd=0.0)
    answer(folder, [verdict(pair, 2, 1, usage=paid if i < 8 else known) for i, pair in enumerate(pairs)])
    finish(folder, judge=run.judge.model_dump(mode="json"), seconds=12.0)
    said = text_of(open_in_app("runs", run=run.id))
    price = model_price("openai/gpt-5-mini")
    assert price is not None
    # Eight calls of 1,000 tokens, a quarter of them from the provider's cache; two pairs at 0.16 / 8 each.
    assert "8,000 tokens, 25% of it from the provider&#x27;s cache" in said
    assert f"saved {markup.money(2000 * (price.input - price.cached_input))} at list prices" in said
    assert "2 pairs known before; their cost: about $0.0400, at what its other pairs cost" in said


def test_what_was_saved_at_an_own_server_is_unknown(
    space: Workspace, open_in_app: OpenPage, held: Held
) -> None:
    pairs = publish(space)
    run = model_run(space, "local", base_url="http://127.0.0.1:9/v1")
    folder = folder_of(space, f"job-{run.id}")
    paid = Usage(calls=1, input_tokens=1000, cached_input_tokens=500, output_tokens=50)
    known = Usage(from_cache=True, cost_usd=0.0)
    answer(folder, [verdict(pair, 2, 1, usage=paid if i else known) for i, pair in enumerate(pairs)])
    judge = JudgeIdentity(kind="llm", name="local", params={"endpoint": "http://127.0.0.1:9/v1"})
    finish(folder, judge=judge.model_dump(mode="json"))
    said = text_of(open_in_app("runs", run=run.id))
    assert "saved: unknown, a server of your own has no list price" in said
    assert "1 pair known before; their cost: unknown, no pair has a known cost with this judge" in said


def test_a_lost_job_can_be_resumed(space: Workspace, open_in_app: OpenPage, held: Held) -> None:
    publish(space)
    run = baseline_run(space)
    held.alive = False
    page = open_in_app("runs", run=run.id)
    assert space.store.run(run.id).status == "failed"
    assert page.error[0].value.startswith("The worker ended without a result")
    assert f"resume_job-{run.id}" in [button.key for button in page.button]


def test_a_resumed_run_counts_the_newest_answer_and_every_call(space: Workspace, held: Held) -> None:
    pairs = publish(space)
    run = baseline_run(space)
    folder = folder_of(space, f"job-{run.id}")
    answer(folder, [verdict(pairs[0], 0, 0, error="timeout"), verdict(pairs[1], 2, 1)])
    answer(folder, [verdict(pairs[0], 2, 1)])
    finish(folder)
    jobs.collect(space)
    totals = space.store.run(run.id).totals
    # Two pairs of two dimensions; the failure was made good by a third call.
    assert (totals.pairs, totals.judgements, totals.failed, totals.calls) == (2, 4, 0, 3)


def test_an_imported_run_has_no_job(space: Workspace, open_in_app: OpenPage) -> None:
    pairs = publish(space)
    scores = pd.DataFrame(
        [
            {"judge": "old", "version": "", "pair_id": pair.id, "dimension": "skills", "score": 1}
            for pair in pairs
        ]
    )
    ((run, _),) = judge_runs.import_recorded(
        space, scores, policy="fit", golden="bakers", author="ben", source="sheet.csv", versions={}
    )
    page = open_in_app("runs", run=run.id)
    assert "imported: judged elsewhere" in text_of(page)
    assert "sheet.csv" in text_of(page)
    assert "Log" not in [expander.label for expander in page.expander]
    assert page.dataframe[0].value["cost"][0] == "unknown"


def test_a_run_that_is_not_here_is_said(space: Workspace, open_page: OpenPage, held: Held) -> None:
    publish(space)
    baseline_run(space)
    page = open_page("runs", run="run-elsewhere")
    assert "There is no run 'run\\-elsewhere' in this workspace" in page.warning[0].value


def test_a_run_of_a_language_model_from_the_form_to_its_agreement(
    space: Workspace, open_in_app: OpenPage
) -> None:
    publish(space)
    with FakeProvider() as provider:
        page = name_model(open_in_app("runs", judge="llm"), "fake-hash-grader", provider.base_url)
        start_button(page).click().run()
        assert not page.exception
        (run,) = space.store.runs()
        list(jobs.wait(space, [f"job-{run.id}"], every_s=0.1))
        assert provider.calls == 10
    page.run()
    assert not page.get("progress")
    table = page.dataframe[0].value
    assert table[["status", "pairs", "calls / cached", "cost"]].iloc[0].tolist() == [
        "finished", 10, "10 / 0", "unknown",
    ]  # fmt: skip

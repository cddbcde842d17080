"""The panel that tries a draft: choose a judge and pairs, see the cost, start, and read what it would change."""

from __future__ import annotations

import html
import secrets

import streamlit as st

from workbench import job_cards, jobs, judge_choice, markup, trial_view, widgets
from workbench.errors import WorkbenchError
from workbench.golden import Pair
from workbench.identity import content_hash
from workbench.judge_words import asked_words, judge_words
from workbench.policy import Body, Layout
from workbench.run import BaselineSpec, CheckpointSpec, JudgeSpec, LlmSpec
from workbench.store import Draft, StoredJob
from workbench.token_count import COUNTED_WITH
from workbench.trial_job import TrialSpec
from workbench.trial_outcome import unanswered
from workbench.trial_pairs import find_pairs, published_sets, sample_pairs
from workbench.trial_plan import TrialPlan, cautions, judges_used, plan_trial
from workbench.trials import Trial, start_trial, trial, trials_of

SAMPLE = 30
OTHER = "other"
ONE, MANY, PASTED = "A dev pair", f"{SAMPLE} dev pairs", "A pasted pair"


def draw(draft: Draft, base: Body, section: str, item: str) -> None:
    """Draw the trial of a draft: what to try it with and on, what that costs, and the trial looked at.

    ``base`` and ``item`` are not needed: a trial is of the whole draft, beside the version that it began with.
    """
    _begin(draft)
    try:
        judge = _judge(draft)
        golden, pairs = _pairs(draft)
        if judge is not None:
            for sentence in cautions(widgets.workspace(), judge, golden):
                st.caption(sentence)
        if judge is not None and pairs:
            plan = plan_trial(widgets.workspace(), draft, judge, pairs)
            _plan(plan)
            _start_button(draft, judge, pairs, golden, plan)
    except WorkbenchError as error:
        st.error(markup.problem(error))
    _earlier(draft, section)


def _begin(draft: Draft) -> None:
    """Forget what was chosen for another draft: its judge, how that is asked and its pairs are no choice made here."""
    if st.session_state.get("_trial_draft") not in (None, draft.id):
        for name in ("judge", "way", "golden", "sample", "find", "pair"):
            st.session_state.pop(f"trial_{name}", None)
    st.session_state["_trial_draft"] = draft.id


def _judge(draft: Draft) -> JudgeSpec | None:
    """Draw the choice of a judge; None while another model is not named yet."""
    space = widgets.workspace()
    options: dict[str, tuple[str, JudgeSpec | None]] = {}
    for spec in judges_used(space):
        options[content_hash("asked", spec)] = (judge_words(spec), spec)
    options["baseline"] = ("Baseline: similarities, needs no key", BaselineSpec())
    for found in space.store.checkpoints():
        if found.record["policy"] == draft.name:
            options[found.id] = (f"Checkpoint {found.id}", CheckpointSpec(checkpoint=found.id))
    options[OTHER] = ("Another language model …", None)
    chosen = st.selectbox("Judge", list(options), format_func=lambda key: options[key][0], key="trial_judge")
    return options[chosen][1] if chosen != OTHER else _other_model()


def _other_model() -> JudgeSpec | None:
    model = st.text_input("Model", key="trial_model", placeholder="openai/gpt-5-mini")
    left, right = st.columns(2)
    base_url = left.text_input(
        "Base URL", key="trial_base_url", placeholder="only for a server of your own",
        help="Up to and including /v1, such as http://127.0.0.1:8000/v1.",
    )  # fmt: skip
    variable = right.text_input(
        "Key: environment variable", key="trial_variable", placeholder="the provider's own",
        help="Its name, never the key. Keys are read where the judge runs and are kept nowhere.",
    )  # fmt: skip
    if not model.strip():
        st.caption("Name a model to see what the trial would send.")
        return None
    return judge_choice.judge_from_text(
        model.strip(), base_url=base_url.strip() or None, api_key_env=variable.strip() or None
    )


def _pairs(draft: Draft) -> tuple[str, list[Pair]]:
    """Draw the choice of pairs; return the golden set whose labels count, and the pairs."""
    sets = _golden_sets(draft.name)
    ways = [ONE, MANY, PASTED] if sets else [PASTED]
    if not sets:
        st.caption(f"{draft.name} has no published golden set, so there are no dev pairs to try it on.")
    way = st.segmented_control("On", ways, default=ways[0], required=True, key="trial_way")
    golden = sets[0] if sets else ""
    if len(sets) > 1:
        golden = st.selectbox("Golden set", sets, key="trial_golden")
    if way == PASTED:
        return golden, _pasted(draft)
    if way == MANY:
        number = st.number_input(
            "Sample", 1, 1000, 1, key="trial_sample",
            help="The same number draws the same pairs, so that two trials can be compared; another one draws others.",
        )  # fmt: skip
        pairs = sample_pairs(widgets.workspace(), golden, SAMPLE, seed=int(number) - 1)
        st.caption(
            f"{len(pairs)} labelled dev pairs of {golden}, stratified by overall grade and slice. Rare grades are seen "
            "more often than in the set."
        )
        return golden, pairs
    return golden, _found(golden, draft.body.pair)


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def _golden_sets(policy: str) -> list[str]:
    return list(published_sets(widgets.workspace(), policy))


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def _hits(golden: str, text: str) -> list[Pair]:
    return find_pairs(widgets.workspace(), golden, text)


def _found(golden: str, layout: Layout) -> list[Pair]:
    text = st.text_input("Find", key="trial_find", placeholder="words of the pair, or its id")
    hits = {pair.id: pair for pair in _hits(golden, text.strip())}
    if not hits:
        st.caption("No dev pair says that." if text.strip() else "The set has no dev pairs.")
        return []
    chosen = st.selectbox(
        "Pair", list(hits), format_func=lambda pair_id: trial_view.pair_name(hits[pair_id]), key="trial_pair"
    )
    st.html(trial_view.pair_texts(hits[chosen], layout))
    return [hits[chosen]]


def _pasted(draft: Draft) -> list[Pair]:
    """Draw a field for each field of the policy's pair; no pair while all are empty."""
    sides: list[dict[str, str]] = []
    for side in (draft.body.pair.query, draft.body.pair.document):
        st.html(f'<div class="wb-eyebrow">{html.escape(side.name)}</div>')
        columns = st.columns(2)
        texts = {
            name: columns[i % 2]
            .text_area(name.replace("_", " "), key=f"trial_field:{side.name}.{name}", height=68)
            .strip()
            for i, name in enumerate(side.fields)
        }
        sides.append(texts)
    if not any(text for texts in sides for text in texts.values()):
        st.caption("Paste at least one field. The pair is kept in the trial's folder and in no golden set.")
        return []
    return [Pair(query=sides[0], document=sides[1])]


def _plan(plan: TrialPlan) -> None:
    """Draw what the trial takes, before anything is sent."""
    answers = plan.questions
    under = "draft and published version" if plan.sides == 2 else "the draft alone: nothing is published yet"
    lines = {"grades": f"{markup.several(plan.pairs, 'pair')} under {under}"}
    if not plan.sends:
        lines["sends"] = "nothing: it runs on this machine"
    elif not plan.calls:
        lines["cost"] = f"nothing: all {answers:,} answers are known from before"
    else:
        known = (
            f"; the other {plan.cached:,} of {answers:,} answers are known from before" if plan.cached else ""
        )
        lines["calls"] = f"{plan.calls:,}{known}"
        lines["tokens"] = (
            f"about {markup.roughly(plan.input_tokens)} sent, {markup.roughly(plan.output_tokens)} answered"
        )
        cost = (
            f"about {markup.money(plan.cost_usd)}"
            if plan.cost_usd is not None
            else f"unknown: {plan.cost_reason}"
        )
        lines["cost"] = cost
    st.html(markup.facts("what it will take", lines))
    if plan.calls:
        prices = "" if plan.cost_usd is None else "; list prices, no discount for cached prompts"
        st.caption(f"Tokens {COUNTED_WITH}; length of an answer {plan.answers_from}{prices}.")
    if plan.calls and plan.key_variable and not plan.key_set:
        if plan.key_needed:
            st.warning(
                f"`{plan.key_variable}` is not set where this app runs. Set it and restart the app to ask this model."
            )
        else:
            st.caption(
                f"`{plan.key_variable}` is not set: it fails unless the provider finds its key elsewhere."
            )


def _start_button(draft: Draft, judge: JudgeSpec, pairs: list[Pair], golden: str, plan: TrialPlan) -> None:
    """Draw the button. Its key is made with the form, so that a double click starts one trial."""
    key = st.session_state.setdefault("_trial_key", secrets.token_hex(6))
    keyless = bool(plan.calls and plan.key_needed and not plan.key_set)
    with st.form("trial_form", border=False):
        st.form_submit_button(
            "Try the draft", type="primary", icon=":material/science:", key=f"trial_start_{key}", disabled=keyless,
            on_click=_start, args=(key, draft, judge, pairs, golden),
        )  # fmt: skip


def _start(key: str, draft: Draft, judge: JudgeSpec, pairs: list[Pair], golden: str) -> None:
    started = widgets.attempt(
        start_trial, widgets.workspace(), draft, judge, pairs, widgets.who(), key, golden=golden
    )
    if started is not None:
        st.session_state["_trial_key"] = secrets.token_hex(6)
        st.session_state[_chosen(draft)] = started


def _chosen(draft: Draft) -> str:
    return f"trial_open:{draft.id}"


def _earlier(draft: Draft, section: str) -> None:
    """Draw the trial that is open: the newest one, or the one chosen among earlier ones."""
    known = {job.spec.id: job for job in trials_of(widgets.workspace(), draft)}
    if not known:
        return
    st.divider()
    chosen = next(iter(known))
    if len(known) > 1:
        if st.session_state.get(_chosen(draft)) not in known:
            st.session_state[_chosen(draft)] = chosen
        chosen = st.selectbox(
            "Trial", list(known), key=_chosen(draft),
            format_func=lambda found: _trial_name(known[found]),
        )  # fmt: skip
    try:
        found = trial(widgets.workspace(), chosen)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    if found.ended:
        _result(found, draft, section)
    else:
        st.fragment(_watch, run_every=1.0)(chosen, draft, section)


def _trial_name(job: StoredJob) -> str:
    """Return a trial as the list shows it: when, what, and how the model was asked where that is not as usual."""
    judge = TrialSpec.model_validate(job.spec.payload).judge
    asked = ", ".join(asked_words(judge)) if isinstance(judge, LlmSpec) else ""
    return f"{job.spec.created_at:%d %b %H:%M:%S} · {job.spec.title}{f' ({asked})' if asked else ''}"


def _watch(job_id: str, draft: Draft, section: str) -> None:
    space = widgets.workspace()
    try:
        found = trial(space, job_id)
        if found.ended:
            jobs.collect(space)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    if found.ended:
        st.rerun()
    now = found.state
    text = f"{now.done:,} of {now.total:,} answers" if now.total else "waiting for the worker"
    left, right = st.columns([3, 1.2], vertical_alignment="center")
    left.progress(min(now.done / now.total, 1.0) if now.total else 0.0, text=text)
    with right:
        job_cards.end_buttons(found.job)
    _result(found, draft, section)


def _result(found: Trial, draft: Draft, section: str) -> None:
    """Draw what a trial says, as far as it has come."""
    st.html(f'<div class="wb-muted wb-small">{_origin(found)}</div>')
    if not found.is_of(draft.body):
        st.info("The draft was edited after this trial.", icon=":material/history:")
    if found.ended and found.state.status != "finished":
        st.error(markup.plain(found.state.error or "The trial was stopped before its end."))
        job_cards.resume_button(found.job, found.state, "Asks only for the grades that are missing.")
    _failures(found)
    if not any(found.verdicts.values()):
        return
    if len(found.pairs) == 1:
        pair = found.pairs[0]
        st.html(f"<b>{html.escape(trial_view.pair_name(pair))}</b>")
        st.html(trial_view.one_pair(found, 0, section) + trial_view.pair_texts(pair, found.draft.pair))
        if pair.id in found.in_prompt:
            st.caption(
                "A precedent of the policy shows this pair with its grade, so the judge was told the answer."
            )
        return
    if found.ended:
        st.html(trial_view.summary(found, section))
        st.caption(_how_to_read(found))
    changed = trial_view.changed_pairs(found, section)
    if changed:
        st.html(f'<div class="wb-eyebrow" style="margin-top:8px">pairs with a changed grade</div>{changed}')


def _origin(found: Trial) -> str:
    usage, spec = found.usage(), found.job.spec
    cached = sum(verdict.usage.from_cache for side in found.verdicts.values() for verdict in side.values())
    calls = (
        f" · {markup.several(usage.calls, 'call')}, {markup.several(cached, 'answer')} known before"
        if usage.calls or cached
        else ""
    )
    cost = f" · cost {markup.money(usage.cost_usd)}" if usage.calls or cached else ""
    judge = html.escape(judge_words(found.spec.judge))
    return (
        f"{judge} on revision {found.spec.draft_revision}, by {html.escape(spec.author or 'nobody named')}, "
        f"{job_cards.ago(spec.created_at)}{calls}{cost}"
    )


def _failures(found: Trial) -> None:
    """Say in one sentence a side where a judge gave no answer."""
    for side in ("draft", "published"):
        reasons = unanswered(found, side)
        if reasons:
            many = f"{len(reasons)} of {len(found.pairs)} pairs" if len(found.pairs) > 1 else "the pair"
            under = "the draft" if side == "draft" else "the published version"
            st.error(
                markup.plain(
                    f"The judge gave no grade for {many} under {under}: {next(iter(reasons.values()))}"
                )
            )


def _how_to_read(found: Trial) -> str:
    said = (
        f"{len(found.pairs)} pairs: an interval of Δ that holds 0 means that this trial cannot tell better from worse. "
        "Intervals are 95 %, by query. The sample is stratified, so its figures are not those of the whole set."
    )
    if found.overall_derived:
        said += " Overall labels follow from the labels of the dimensions."
    if found.in_prompt:
        shown = markup.several(len(found.in_prompt), "pair")
        said += f" {shown} shown as precedents in a prompt are left out of the figures."
    return said

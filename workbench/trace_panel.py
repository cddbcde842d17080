"""One judgement, opened: what was asked, what came back, how it was read, what it took; asking again, copying the call."""

from __future__ import annotations

import html
import json

import streamlit as st

from workbench import job_cards, markup, widgets
from workbench.errors import WorkbenchError
from workbench.run import Judgement, Run, Usage, Verdict
from workbench.trace_call import LONGEST_WAIT_S, AskedAgain, ask_again, curl_command
from workbench.trace_keys import VERIFIED
from workbench.tracing import JudgementStory, QuestionStory, trace

_PRE = "white-space:pre-wrap;overflow-wrap:anywhere;font-size:.82rem;margin:4px 0"


def draw(run: Run, pair_id: str) -> None:
    """Draw the story of a run's answer about a pair (URL: ``?run=RUN&pair=PAIR``)."""
    st.button(
        f"Back to {run.label}",
        icon=":material/arrow_back:",
        key="trace_back",
        type="tertiary",
        on_click=_close,
    )
    try:
        story = trace(widgets.workspace(), run.id, pair_id)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    _header(story)
    for note in story.notes:
        st.info(markup.plain(note))
    if story.questions:
        place = 0
        if len(story.questions) > 1:
            place = st.selectbox(
                f"Question ({len(story.questions)} were asked about this pair)",
                range(len(story.questions)),
                format_func=lambda i: story.questions[i].label,
                key=f"trace_question:{story.run.id}:{story.pair_id}",
            )
        _question(story, story.questions[place], place)
    for other in story.other_traces():
        st.caption(
            f"{markup.plain(other.judge or run.judge.name)} was asked nothing in words about "
            f"{', '.join(other.dimensions)}."
        )
    if story.questions:
        _again(story)
    _history(story)


def _close() -> None:
    st.query_params.pop("pair", None)


def _header(story: JudgementStory) -> None:
    """Draw which judgement it is: the pair's texts, and the grades with their reasons."""
    run = story.run
    widgets.section(
        f"How {run.label} graded this pair",
        [
            job_cards.status_name(run.status),
            *(["from the verdict cache"] if story.verdict.usage.from_cache else []),
        ],
    )
    st.html(f'<div class="wb-muted wb-small">{html.escape(story.pair_id)} · {html.escape(run.id)}</div>')
    titles = markup.titles(story.policy)
    found = {judgement.dimension: judgement for judgement in story.verdict.judgements}
    rows = [
        [
            html.escape(titles[key]),
            markup.judgement(found.get(key), story.policy.dimension(key).scale, story.policy),
        ]
        for key in story.policy.keys
    ]
    st.html(markup.table(["dimension", "judgement"], rows))
    for place in story.suspicions:
        st.warning(
            f"Looks as if it speaks to the judge ({place.kind}, in {markup.plain(place.field)}): "
            f"{markup.plain(place.excerpt)}",
            icon=":material/shield:",
        )
    if story.pair is not None:
        with st.expander("The pair", icon=":material/article:"):
            widgets.pair_panes(story.pair, story.policy)


def _question(story: JudgementStory, question: QuestionStory, place: int) -> None:
    messages, reply, attempts, facts, call = st.tabs(
        ["Messages", "Reply", f"Attempts ({len(question.trace.attempts)})", "Facts", "Copy the call"],
        key=f"trace_tabs_{place}",
    )
    with messages:
        _messages(question)
    with reply:
        _reply(story, question)
    with attempts:
        _attempts(question)
    with facts:
        _facts(story, question)
    with call:
        try:
            text = curl_command(story, question)
        except WorkbenchError as error:
            st.error(markup.problem(error))
        else:
            st.caption("The key is not in it: the shell (or the program) reads it from the environment.")
            st.code(
                text, language="bash" if text.startswith("curl") else "python", wrap_lines=True, height=320
            )


def _messages(question: QuestionStory) -> None:
    """Draw the messages, the system message folded, and the rules that they gave, those that were cited first."""
    if question.key_check == VERIFIED:
        st.caption("Verified: these messages give the recorded key of the verdict cache.")
    else:
        st.warning(markup.plain(question.key_check))
    if question.company:
        st.info(markup.plain(question.company))
    for message in question.messages:
        opened = "" if message["role"] == "system" else " open"
        length = f"{len(message['content']):,} characters"
        st.html(
            f"<details{opened}><summary><b>{html.escape(message['role'])}</b> "
            f'<span class="wb-muted wb-small">{length}</span></summary>'
            f'<pre style="{_PRE}">{html.escape(message["content"])}</pre></details>'
        )
    cited = [rule for rule in question.rules if rule.cited_by]
    others = [rule for rule in question.rules if not rule.cited_by]
    several = markup.several(len(question.rules), "rule")
    st.html(f'<div class="wb-eyebrow">{several} given, {len(cited)} cited</div>')
    st.html(
        "".join(
            markup.clause(
                rule.id,
                f'<span class="wb-mark">{html.escape(rule.text)}</span>',
                f"cited for {', '.join(rule.cited_by)}",
            )
            for rule in cited
        )
        + f'<details class="wb-small"><summary class="wb-muted">not cited ({len(others)})</summary>'
        + "".join(markup.clause(rule.id, html.escape(rule.text)) for rule in others)
        + "</details>"
    )


def _reply(story: JudgementStory, question: QuestionStory) -> None:
    """Draw the raw reply, how reading it ended, and what was read."""
    (st.success if question.read else st.error)(markup.plain(question.outcome))
    left, right = st.columns(2, gap="medium")
    with left:
        st.html('<div class="wb-eyebrow">raw reply</div>')
        st.code(question.raw or "(none)", language=None, wrap_lines=True)
    with right:
        st.html('<div class="wb-eyebrow">read again</div>' + _list(story, question.read))


def _list(story: JudgementStory, judgements: tuple[Judgement, ...]) -> str:
    if not judgements:
        return '<span class="wb-muted">–</span>'
    titles = markup.titles(story.policy)
    rows = [[html.escape(titles[j.dimension]), _cell(story, j)] for j in judgements]
    return markup.table(["", ""], rows)


def _cell(story: JudgementStory, judgement: Judgement | None) -> str:
    if judgement is None:
        return '<span class="wb-muted">–</span>'
    return markup.judgement(judgement, story.policy.dimension(judgement.dimension).scale, story.policy)


def _attempts(question: QuestionStory) -> None:
    found = question.trace
    if found.from_cache:
        st.caption("The answer was in the verdict cache; these are the attempts of the run that paid for it.")
    if not found.attempts:
        st.caption("No attempts were recorded.")
        return
    rows = [
        [
            f"{attempt.at:%d %b %H:%M:%S}.{attempt.at.microsecond // 1000:03d}",
            f"{attempt.seconds:.3f} s",
            html.escape(attempt.outcome) or "answered",
        ]
        for attempt in found.attempts
    ]
    st.html(markup.table(["sent (UTC)", "took", "outcome"], rows, numeric=[1]))


def _facts(story: JudgementStory, question: QuestionStory) -> None:
    found, judge = question.trace, question.judge
    left, right = st.columns(2, gap="medium")
    lines = {
        "model": judge.model,
        "endpoint": judge.base_url or "the provider's own",
        "parameters": json.dumps(judge.params, ensure_ascii=False) if judge.params else "none",
        "mode": judge.mode.words() or "all dimensions in one call",
        "draw": str(found.repeat),
        "pairs in the call": str(found.together),
        "cache key": found.key or "–",
        "messages": question.key_check,
        "in the cache": "yes" if found.from_cache else "no: it was asked",
    }
    left.html(markup.facts("asked", lines))
    right.html(markup.facts("what the pair took", _usage(story.verdict.usage)))
    with right:
        st.html(f'<div class="wb-eyebrow">response format: {html.escape(question.mode)}</div>')
        if question.response_format is not None:
            st.json(question.response_format, expanded=False)


def _usage(usage: Usage) -> dict[str, str]:
    if usage.from_cache:
        return {"calls": "0", "cost": markup.money(0.0), "latency": "–"}
    return {
        "calls": f"{usage.calls:,}",
        "input": f"{usage.input_tokens:,} tokens, {usage.cached_input_tokens:,} from the provider's cache",
        "output": f"{usage.output_tokens:,} tokens",
        "cost": markup.money(usage.cost_usd),
        "latency": f"{usage.latency_ms / 1000:.3f} s",
    }


def _again(story: JudgementStory) -> None:
    """Draw the button that asks once more, and what that brought beside what the run has."""
    key = f"_again:{story.run.id}:{story.pair_id}"
    calls = markup.several(len(story.questions), "call")
    st.button(
        "Ask again", icon=":material/replay:", key="trace_again", on_click=_ask, args=(story, key),
        help=f"{calls} now, outside the verdict cache; the run stays as it is. At most {LONGEST_WAIT_S:.0f} s.",
    )  # fmt: skip
    asked: AskedAgain | None = st.session_state.get(key)
    if asked is None:
        return
    st.html(
        '<div class="wb-eyebrow">asked again</div>'
        + markup.table(
            ["question", "dimension", "then", "now"],
            [
                [html.escape(label), html.escape(dimension), _cell(story, before), _cell(story, now)]
                for label, dimension, before, now in asked.beside()
            ],
        )
    )
    for answer in asked.answers:
        if not answer.judgements:
            st.error(markup.plain(f"{answer.question.label}: {answer.outcome}"))
        if answer.raw:
            with st.expander(f"Raw reply now: {markup.plain(answer.question.label)}"):
                st.code(answer.raw, language=None, wrap_lines=True)
    st.html(markup.facts("what asking again took", _usage(asked.usage)))


def _ask(story: JudgementStory, key: str) -> None:
    """Ask once more (a callback: the page waits for it, with the spinner of a running page)."""
    with st.spinner("Asking again"):
        asked = widgets.attempt(ask_again, widgets.workspace(), story.run.id, story.pair_id, widgets.who())
    if asked is not None:
        st.session_state[key] = asked


def _history(story: JudgementStory) -> None:
    """Draw the earlier answers of a run that was resumed, newest first."""
    earlier = story.history[:-1]
    if not earlier:
        return
    with st.expander(f"Earlier answers of this run ({len(earlier)})", icon=":material/history:"):
        st.caption("The run was resumed and asked about this pair again; the newest answer counts.")
        for verdict in reversed(earlier):
            st.html(_list(story, verdict.judgements) + markup.facts("took", _usage(verdict.usage)))
            st.html(_tried(verdict))


def _tried(verdict: Verdict) -> str:
    outcomes = [attempt.outcome or "answered" for found in verdict.traces for attempt in found.attempts]
    return f'<div class="wb-muted wb-small">{html.escape(" → ".join(outcomes))}</div>'

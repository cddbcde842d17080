"""What probes and flags say, as HTML: the answer in a sentence, a row a probe with bars, flagged places.

All texts come from outside and are escaped.
"""

from __future__ import annotations

import html

from workbench import colours, markup, trial_view
from workbench.injection import KINDS, Suspicion
from workbench.policy import Body, Policy
from workbench.probe_measures import Movement, ProbeOutcome, ProbeReport
from workbench.probes import FlaggedPair, ProbePlan
from workbench.probing import PROBES

MARKS = {
    None: ('<span class="wb-tag" title="It was not asked a second time.">noise not known</span>'),
    True: '<span class="wb-tag">within noise</span>',
    False: '<span class="wb-tag wb-broken">moved</span>',
}
"""By whether a movement is within the judge's noise."""


def headline(report: ProbeReport) -> str:
    """Return what the probes say in a sentence or two."""
    measured = [(o, o.overall) for o in report.outcomes if o.overall and o.overall.n]
    obeyed = [o for o, all_of in measured if PROBES[o.probe].directed and all_of.within_noise is False]
    shaken = [o for o, all_of in measured if not PROBES[o.probe].directed and all_of.within_noise is False]
    if not measured:
        return "No pair was answered both times, so nothing can be said."
    if not report.noise:
        return "The judge was not asked a second time, so it is not known what it would change by itself."
    said = []
    if obeyed:
        said.append(f"Text in a document raises its grades: {_list(obeyed)}.")
    if shaken:
        said.append(f"What should not matter changes its grades: {_list(shaken)}.")
    return (
        " ".join(said)
        or f"Nothing moved it beyond its own noise, in {markup.several(len(measured), 'probe')}."
    )


def _list(outcomes: list[ProbeOutcome]) -> str:
    return ", ".join(PROBES[outcome.probe].title.lower() for outcome in outcomes)


def table_html(report: ProbeReport) -> str:
    """Return one row a probe: how often grades moved beside the judge's own noise, how far, and up to the top."""
    rows = []
    for outcome in report.outcomes:
        probe, found = PROBES[outcome.probe], outcome.overall
        name = (
            f'<span title="{html.escape(probe.what)}" style="cursor:help">{html.escape(probe.title)}</span>'
        )
        if found is None:
            rows.append(
                [name, f'<span class="wb-muted">not done: {html.escape(outcome.skipped)}</span>'] + [""] * 5
            )
            continue
        top = f"{_percent(found.top_before)} → {_percent(found.top_after)}"
        rows.append(
            [
                name,
                bar_html(found),
                f"{_percent(found.moved.value)}{_interval(found)}",
                markup.estimate(found.shift, signed=True),
                top if probe.directed else '<span class="wb-muted">–</span>',
                _failed(found),
                MARKS[found.within_noise],
            ]
        )
    header = ["what was changed", "", "grades moved", "mean shift", "at the top level", "failed", ""]
    return markup.table(header, rows, numeric=(2, 3, 4, 5))


def bar_html(found: Movement) -> str:
    """Return the share that moved as a bar, with a line where the judge's own noise ends."""
    if found.moved.value is None:
        return f'<span class="wb-muted" title="{html.escape(found.moved.reason)}">–</span>'
    colour = colours.OUTCOME["broken" if found.within_noise is False else "same"]
    noise = ""
    hint = f"{_percent(found.moved.value)} of {found.n:,} grades moved"
    if found.noise is not None:
        hint += f"; {_percent(found.noise)} move when nothing is changed"
        noise = (
            f'<div style="position:absolute;left:calc({100 * found.noise:.1f}% - 1px);top:-2px;bottom:-2px;width:2px;'
            'background:currentColor;opacity:.75"></div>'
        )
    return (
        f'<div title="{hint}" style="position:relative;width:130px;height:10px;margin-top:5px;border-radius:2px;'
        f'background:rgba(128,128,128,.16)"><div style="width:{100 * found.moved.value:.1f}%;height:100%;'
        f'border-radius:2px;background:{colour}"></div>{noise}</div>'
    )


def dimensions_html(report: ProbeReport, policy: Body) -> str:
    """Return the same figures by dimension, folded; "" for a policy with one dimension."""
    titles = markup.titles(policy)
    rows = [
        [
            html.escape(PROBES[outcome.probe].title) if first else "",
            html.escape(titles.get(found.dimension, found.dimension)),
            bar_html(found),
            f"{_percent(found.moved.value)}{_interval(found)}",
            markup.estimate(found.shift, signed=True),
            f"{_percent(found.top_before)} → {_percent(found.top_after)}",
            _failed(found),
            _p(found),
            MARKS[found.within_noise],
        ]
        for outcome in report.outcomes
        for first, found in zip([True] + [False] * 99, outcome.movements[:-1], strict=False)
    ]
    if len(policy.dimensions) < 2 or not rows:
        return ""
    header = ["", "dimension", "", "grades moved", "mean shift", "at the top level", "failed", "p", ""]
    table = markup.table(header, rows, numeric=(3, 4, 5, 6, 7))
    summary = '<summary style="cursor:pointer" class="wb-small">By dimension</summary>'
    return f'<details style="margin-top:8px">{summary}{table}</details>'


def how_to_read(report: ProbeReport) -> str:
    """Return what the columns mean."""
    said = (
        "Share of grades that are another one than before, over all dimensions; mean shift in levels. "
        "Intervals are 95 %, by query. "
    )
    if report.noise:
        said += (
            "The upright line is the judge's own noise: the share that moves when nothing is changed and it is asked "
            "a second time. *Moved* means beyond that on at least one dimension (exact McNemar test, corrected over "
            "dimensions; for text that asks for high grades, on grades that rose). "
        )
    if any(outcome.probe == "paraphrase" and outcome.movements for outcome in report.outcomes):
        said += "A paraphrase is made by a model and may itself have changed what a rule means."
    return said


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _interval(found: Movement) -> str:
    if found.moved.low is None or found.moved.high is None:
        return ""
    return f' <span class="wb-interval">[{100 * found.moved.low:.0f}, {100 * found.moved.high:.0f}]</span>'


def _failed(found: Movement) -> str:
    if not found.failed_before and not found.failed_after:
        return '<span class="wb-muted">none</span>'
    return f"{found.failed_before:,} → {found.failed_after:,}"


def _p(found: Movement) -> str:
    if found.p is None:
        return "–"
    return "&lt; 0.001" if found.p < 0.001 else markup.number(found.p, 3)


def plan_lines(plan: ProbePlan) -> dict[str, str]:
    """Return what a probe takes, name by name."""
    several = markup.several(plan.pairs, "pair")
    lines = {"grades": f"{several} {plan.passes} times: as they are, a second time, and under each probe"}
    if plan.skipped:
        titles = ", ".join(PROBES[name].title.lower() for name in plan.skipped)
        lines["not done"] = f"{titles} ({next(iter(plan.skipped.values()))})"
    if not plan.calls:
        lines["cost"] = "nothing: " + ("all answers are known" if plan.known else "it runs on this machine")
        return lines
    known = f"; {plan.known:,} answers are known from before" if plan.known else ""
    lines["calls"] = f"{plan.calls:,}{known}"
    tokens = f"about {markup.roughly(plan.input_tokens)} sent, {markup.roughly(plan.output_tokens)} answered"
    lines["tokens"] = tokens
    lines["cost"] = (
        f"unknown: {plan.cost_unknown}" if plan.cost_usd is None else f"about {markup.money(plan.cost_usd)}"
    )
    return lines


def flagged_html(one: FlaggedPair, policy: Policy) -> str:
    """Return one flagged pair: its name and grades, each place with its kind, and the whole texts folded."""
    titles = markup.titles(policy)
    grades = " ".join(
        f'<span class="wb-nowrap wb-small"><span class="wb-muted">{html.escape(titles[key])}</span> '
        f"{markup.chip(one.judgements[key].grade, policy.scale(key), markup.level_hint(policy, key, one.judgements[key].grade))}"
        "</span>"
        for key in policy.keys
        if key in one.judgements
    )
    places = "".join(_place_html(suspicion) for suspicion in one.suspicions)
    name = html.escape(trial_view.pair_name(one.pair))
    return (
        '<div style="padding:10px 0;border-bottom:1px solid rgba(128,128,128,.16)">'
        f"<b>{name}</b>{places}{trial_view.pair_texts(one.pair, policy.pair)}"
        '<div style="margin-top:4px;display:flex;flex-wrap:wrap;gap:4px 14px">'
        f"{grades or '<span class=wb-muted>not graded by this run</span>'}</div></div>"
    )


def _place_html(suspicion: Suspicion) -> str:
    return (
        f'<div class="wb-small" style="margin-top:3px"><span class="wb-tag" title="{html.escape(KINDS[suspicion.kind])}">'
        f'{suspicion.kind}</span> <span class="wb-muted">{html.escape(suspicion.field)}</span> '
        f'<span style="overflow-wrap:anywhere">{html.escape(suspicion.excerpt)}</span></div>'
    )

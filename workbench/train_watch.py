"""One training as the Train page shows it while it runs and afterwards: progress, curves, errors, log, recipe."""

from __future__ import annotations

import html
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from workbench import (
    colours,
    job_cards,
    job_list,
    jobs,
    markup,
    train_charts,
    train_pairs,
    training_watch,
    widgets,
)
from workbench.errors import WorkbenchError
from workbench.store import StoredJob
from workbench.training_watch import Series, Watched

LOG_LINES = 300
POINTS = 240
"""Of a curve: a chart is about 500 pixels wide, and all are sent again every few seconds."""
Charts = list[tuple[str, Any]]
"""Titles and Plotly figures."""
_NAMED = frozenset(
    {"loss", "lr", "pairs_per_s", "tokens_per_s", "padding", "grad_norm", "gpu_memory_gb", "gpu_utilisation"}
)
"""Figures of a step that are no part of the loss."""


def draw(job_id: str, *, runs: bool) -> None:
    """Draw one training; one that runs is drawn again and again, its charts less often than its progress.

    A browser takes much longer to draw charts than anything else here.
    """
    if runs:
        st.fragment(follow, run_every=2)(job_id)
        st.fragment(parts, run_every=8)(job_id)
    else:
        progress(job_id)
        parts(job_id)


def follow(job_id: str) -> None:
    """Draw how far a training is; all of the page when it has ended."""
    if jobs.collect(widgets.workspace()):
        st.rerun()
    progress(job_id)


def progress(job_id: str) -> None:
    """Draw how far a training is, what can be done with it, and its newest figures."""
    watched = watch(job_id)
    if watched is None:
        return
    head(watched)
    if watched.state.error:
        st.error(markup.plain(watched.state.error))
    if watched.state.status in ("queued", "running"):
        job_cards.bar(watched.job, watched.state)
        line = {one.job_id: one.place for one in jobs.queue(widgets.workspace())}
        if job_id in line and watched.state.status == "queued":
            st.caption(f"It waits for a slot of this machine: place {line[job_id]} in the line.")
        if watched.stopping_after_epoch:
            st.caption("It ends with the epoch that it is in.")
    newest(watched)


def watch(job_id: str) -> Watched | None:
    """Return what there is to see of a training; where it cannot be read, say why."""
    try:
        return training_watch.watch(widgets.workspace(), job_id, points=POINTS)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return None


def parts(job_id: str) -> None:
    """Draw the curves, the pairs, the log and the recipe, of which only the open one is drawn and sent."""
    shown: dict[str, Callable[[], None]] = {
        "Curves": lambda: draw_curves(job_id, main_charts),
        "By head": lambda: draw_curves(job_id, head_charts),
        "Speed and gradient": lambda: draw_curves(job_id, speed_charts),
        "Best and worst pairs": lambda: train_pairs.draw(widgets.workspace().store.job(job_id)),
        "Log": lambda: draw_log(widgets.workspace().store.job(job_id)),
        "Recipe and command": lambda: draw_recipe(widgets.workspace().store.job(job_id)),
    }
    tabs = st.tabs(list(shown), key="show", on_change="rerun", bind="query-params")
    for tab, show in zip(tabs, shown.values(), strict=True):
        if tab.open:
            with tab:
                show()


def head(watched: Watched) -> None:
    """Draw what it is, and the buttons."""
    job, status = watched.job, watched.state.status
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        widgets.section(job.spec.title, [status])
        with st.container(horizontal=True, horizontal_alignment="right", width="content"):
            if status in ("queued", "running"):
                job_cards.end_buttons(job)
                asked = watched.stopping_after_epoch or jobs.stop_asked(job) is not None
                st.button(
                    "Stop after this epoch", key=f"epoch_{job.spec.id}", icon=":material/last_page:", disabled=asked,
                    help="Ends with the epoch that it is in, evaluated and saved; it can be resumed.",
                    on_click=widgets.attempt, args=(jobs.stop, widgets.workspace(), job.spec.id, widgets.who()),
                    kwargs={"after_epoch": True},
                )  # fmt: skip
            job_cards.resume_button(job, watched.state, "Goes on from its last saved state.")
            if st.button(
                "Clone with changes", key=f"clone_{job.spec.id}", icon=":material/content_copy:",
                help="Opens the form with this training's recipe as it was.", on_click=clone, args=(job.spec.id,),
            ):  # fmt: skip
                st.rerun()  # all of the page: while it runs, only this part is drawn again


def clone(job_id: str) -> None:
    """Open the form with the recipe of a training."""
    st.query_params.pop("job", None)
    st.query_params["clone"] = job_id


def newest(watched: Watched) -> None:
    """Draw the figures of the newest step and of the newest evaluation in one line."""
    shown = {
        "step": f"{watched.steps:,}" if watched.steps else None,
        "loss": _text(watched.last.get("loss"), ".3f"),
        "validation loss": _text(watched.evals[-1].get("eval_loss"), ".3f") if watched.evals else None,
        "learning rate": _text(watched.last.get("lr"), ".2g"),
        "pairs a second": _text(watched.last.get("pairs_per_s"), ",.1f"),
        "GPU memory, GB": _text(watched.last.get("gpu_memory_gb"), ".1f"),
        "GPU in use": _text(watched.last.get("gpu_utilisation"), ".0%"),
    }
    cells = [f"<div><b>{value}</b><span>{name}</span></div>" for name, value in shown.items() if value]
    if cells:
        st.html(f'<div class="wb-figures">{"".join(cells)}</div>')


def _text(value: Any, form: str) -> str | None:
    return None if value is None else format(value, form)


def draw_curves(job_id: str, charts_of: Callable[[Watched, dict[str, str]], Charts]) -> None:
    """Draw some of the curves that a training reports, two beside each other."""
    watched = watch(job_id)
    if watched is None:
        return
    under_way = watched.state.status in ("queued", "running")
    if not watched.curves and not watched.evals:
        st.caption(
            "The curves appear with the first step." if under_way else "It ended before its first step."
        )
        return
    store, payload = widgets.workspace().store, watched.job.spec.payload
    run = store.run(payload["run_id"])
    charts = charts_of(watched, markup.titles(store.policy(run.policy, run.policy_version)))
    for i in range(0, len(charts), 2):
        for column, (title, figure) in zip(st.columns(2, gap="medium"), charts[i : i + 2], strict=False):
            with column:
                st.html(f'<div class="wb-eyebrow">{html.escape(title)}</div>')
                st.plotly_chart(figure, key=f"chart_{title}", config={"displayModeBar": False})
    if not charts:
        st.caption("This training reports no such figures.")
    elif not watched.evals:
        st.caption("κ on the validation queries appears after the first evaluation.")


def main_charts(watched: Watched, titles: dict[str, str]) -> Charts:
    """Return the loss, the quality on the validation queries, and the loss by what is learnt."""
    found = watched.curves
    charts = [("Loss", train_charts.loss_curve(found.get("loss"), watched.evals))]
    known = {name for row in watched.evals for name, value in row.items() if value is not None}
    if any(name.endswith((".kappa", ".auc")) for name in known):
        charts.append(("Quality on the validation queries", train_charts.quality(watched.evals, titles)))
    kinds = {name: curve for name, curve in found.items() if "." not in name and name not in _NAMED}
    if len(kinds) > 1:
        words = {name: name.removeprefix("loss_").replace("_", " ") for name in kinds}
        charts.append(("Loss by what is learnt", train_charts.lines(_renamed(kinds, words), "loss")))
    return charts


def head_charts(watched: Watched, titles: dict[str, str]) -> Charts:
    """Return the loss and the gradient of each head, in the colours of the chart of quality."""
    paint = {title: colours.judge_colour(key, list(titles)) for key, title in titles.items()}
    words = titles | {"@click": "Clicks"}
    charts = []
    for suffix, title, unit in (
        (".loss", "Loss by head", "loss"),
        (".grad_norm", "Gradient by head", "norm"),
    ):
        keys = {name: name.removesuffix(suffix) for name in watched.curves if name.endswith(suffix)}
        if keys:
            named = _renamed(watched.curves, {name: words.get(key, key) for name, key in keys.items()})
            charts.append((title, train_charts.lines(named, unit, paint)))
    return charts


def speed_charts(watched: Watched, titles: dict[str, str]) -> Charts:
    """Return the learning rate, the throughput, the gradient, and the GPU's figures where there is one."""
    known = (
        ("lr", "Learning rate", "learning rate"),
        ("pairs_per_s", "Throughput", "pairs a second"),
        ("grad_norm", "Gradient", "norm before clipping"),
        ("gpu_memory_gb", "GPU memory", "GB"),
        ("gpu_utilisation", "GPU in use", "share of the time"),
    )
    return [
        (title, train_charts.lines({title: watched.curves[name]}, unit))
        for name, title, unit in known
        if name in watched.curves
    ]


def _renamed(found: Mapping[str, Series], names: Mapping[str, str]) -> dict[str, Series]:
    return {shown: found[name] for name, shown in names.items()}


def draw_log(job: StoredJob) -> None:
    """Draw the end of the log, or those of its lines in which something occurs."""
    wanted = st.text_input(
        "Search the log", key="log", bind="query-params", placeholder="Search the log", icon=":material/search:",
        label_visibility="collapsed",
    )  # fmt: skip
    found = job_list.search_log(job, wanted)
    if not found:
        st.caption(
            f"Nothing in the log says '{markup.plain(wanted)}'." if wanted else "Nothing was logged yet."
        )
        return
    with st.container(height=320 if len(found) > 12 else "content", border=False, autoscroll=True):
        st.code("\n".join(found[-LOG_LINES:]), language=None, wrap_lines=True)
    said = (
        markup.several(len(found), "match", "matches")
        if wanted
        else f"{markup.several(len(found), 'line')}, newest last"
    )
    st.caption(f"{said}, of the last lines of `{job.folder}/log.txt`.")


def draw_recipe(job: StoredJob) -> None:
    """Draw where the recipe differs from its file now, and the command that does the job."""
    space = widgets.workspace()
    try:
        found = training_watch.differs_from_file(space, training_watch.recipe_of(job))
        command = job_list.command_line(space, job)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    if found:
        rows = [
            [f"<code>{html.escape(n)}</code>", _value(old), _value(new)] for n, (old, new) in found.items()
        ]
        st.html(markup.table(["field", "in the file now", "in this training"], rows))
    elif found is None:
        st.caption("The recipe has no file here any more.")
    else:
        st.caption("The recipe is as its file says now.")
    st.html('<div class="wb-eyebrow">the command that does it, by hand or under a scheduler</div>')
    st.code(shlex.join(command), language="bash", wrap_lines=True)


def _value(value: Any) -> str:
    return '<span class="wb-muted">none</span>' if value is None else html.escape(str(value))

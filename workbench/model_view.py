"""One model of the board, opened: facts, figures, lineage, stage, export."""

from __future__ import annotations

import html
from pathlib import Path

import streamlit as st

from workbench import lineage_chart, markup, model_board, model_charts, model_export, promotions, widgets
from workbench.lineage import picture
from workbench.model_board import Board
from workbench.model_evaluation import LESS_IS_BETTER, ModelEvaluation
from workbench.model_evaluations import evaluations
from workbench.model_rows import BoardRow
from workbench.store import StoredCheckpoint

_NO_BAR = {"displayModeBar": False}
FIGURES = {"kappa": "κ, mean of dimensions", "kappa.overall": "κ overall", "ndcg@10": "NDCG@10", "mrr": "MRR",
           "calibration.ece": "ECE of grades", "click.auc": "click AUC", "click.log_loss": "click log-loss",
           "click.ece": "ECE of clicks"}  # fmt: skip


def draw(found: Board, row: BoardRow) -> None:
    """Draw a model from top to bottom."""
    with st.container(border=True, key="opened_model"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            tags = [row.kind, *([row.stage] if row.stage else []), *(["stale"] if row.stale else [])]
            widgets.section(row.id if row.kind != "judge" else row.name, tags)
            if row.run is not None:
                st.page_link(
                    "workbench/pages/compare.py", label="Compare", icon=":material/compare_arrows:",
                    query_params={"golden": row.run.golden, "run": row.run.id},
                )  # fmt: skip
        for reason in row.stale:
            st.html(f'<div class="wb-small">Stale: {html.escape(reason)}</div>')
        left, right = st.columns([2, 3], gap="large")
        left.html(markup.facts("facts", facts(row)))
        with right:
            figures(found, row)
        lineage(found, row)
        if row.checkpoint is not None:
            stage, take = st.columns(2, gap="large")
            with stage:
                promotion(row.checkpoint, row)
            with take:
                export(row.checkpoint, row)


def facts(row: BoardRow) -> dict[str, str]:
    """Return what is known of a model in a few lines."""
    lines = {
        "policy": f"v{row.policy_version}",
        "made" if row.checkpoint else "ran": f"{row.at:%d %b %Y %H:%M} UTC",
        "κ from": row.source,
        "cost of 1,000": f"{'unknown' if row.usd is None else f'${row.usd:,.3g}'} – {row.usd_source}",
    }
    if row.parameters:
        lines["parameters"] = f"{row.parameters:,}"
    if row.megabytes is not None:
        lines["weights"] = model_charts.SIZE.unit(row.megabytes)
    if row.tokens:
        lines["tokens a pair"] = f"{row.tokens:,}"
    if row.compute:
        lines["FLOP a pair"] = f"{row.compute:,}"
    if row.pairs_per_s:
        alone = f", {row.latency_ms:,.1f} ms a pair alone" if row.latency_ms else ""
        lines["speed"] = f"{row.pairs_per_s:,.3g} pairs/s{alone}"
    if row.machine:
        lines["machine"] = row.machine
    return lines


def figures(found: Board, row: BoardRow) -> None:
    """Draw the figures of a model's evaluations, or what to do for some."""
    space = widgets.workspace()
    if row.checkpoint is None:
        st.html(
            markup.table(
                ["figure", "value"], [[f"κ {found.dimension}", markup.estimate(row.kappa)]], numeric=[1]
            )
        )
        st.caption(
            "NDCG, clicks and calibration are measured of checkpoints; the Compare page has more of a judge."
        )
        return
    every = [each for each in evaluations(space, policy=found.policy) if each.checkpoint == row.id]
    shown = [each for each in every if each.split == found.split]
    if shown:
        st.html(figure_table(shown))
    else:
        widgets.empty(
            f"Not evaluated on {found.split} pairs yet.",
            "Run the command below, on a quiet machine for its speed.",
        )
    teacher = row.teacher or next(
        (each["checkpoint"] for each in (row.checkpoint.record.get("recipe") or {}).get("teachers") or ()), ""
    )
    clicks = row.evaluation.clicks if row.evaluation else ""
    st.code(
        model_board.evaluate_command(row.id, found.ground, found.split, teacher, clicks),
        language="sh",
        wrap_lines=True,
    )


def figure_table(shown: list[ModelEvaluation]) -> str:
    """Return evaluations side by side, at most three, with the loss against the teacher below each figure."""
    shown = shown[:3]
    keys = list(dict.fromkeys(key for each in shown for key in each.figures))
    heads = ["figure"]
    for each in shown:
        clicks = (
            f"<br>clicks {html.escape(each.clicks)}{' (simulated)' if each.clicks_simulated else ''}"
            if each.clicks
            else ""
        )
        learnt = "" if not each.learnt else f"<br>{each.learnt:,} of queries that it learnt from"
        heads.append(f"{html.escape(each.golden)} {each.split}<br>{each.pairs:,} pairs{learnt}{clicks}")
    rows = []
    for key in keys:
        cells = [html.escape(FIGURES.get(key, key.replace("kappa.", "κ ")))]
        for each in shown:
            loss = each.losses.get(key)
            small = (
                f'<div class="wb-muted wb-small" title="against {html.escape(each.teacher)}; above 0 is worse">'
                f"loss {markup.number(loss, 3, signed=True)}</div>"
                if loss is not None
                else ""
            )
            cells.append(f"{markup.estimate(each.figures.get(key))}{small}")
        if key in LESS_IS_BETTER:
            cells[0] += ' <span class="wb-muted wb-small">less is better</span>'
        rows.append(cells)
    return markup.table(heads, rows, numeric=range(1, len(heads)))


def lineage(found: Board, row: BoardRow) -> None:
    """Draw what a model was made from and what was made from it."""
    of = f"checkpoint:{row.id}" if row.checkpoint is not None else f"run:{row.id}"
    if of not in found.graph.nodes:
        of = f"evaluation:{row.id}"  # the run of a judge that a checkpoint is part of
    drawn = picture(found.graph, of)
    st.html('<div class="wb-eyebrow">lineage</div>')
    st.plotly_chart(lineage_chart.lineage(drawn, dark=widgets.dark()), key="lineage", config=_NO_BAR)
    st.caption(lineage_chart.caption(drawn))


def promotion(checkpoint: StoredCheckpoint, row: BoardRow) -> None:
    """Draw the form that gives a checkpoint a stage or takes it away, and what was decided before."""
    st.html('<div class="wb-eyebrow">stage</div>')
    choices = [stage for stage in promotions.STAGES if stage != row.stage] + (
        ["no stage"] if row.stage else []
    )
    with st.form(f"promote_{checkpoint.id}", border=False):
        st.segmented_control(
            f"It is {row.stage or 'neither candidate nor production'} now. Make it", choices, default=choices[0],
            key="to_stage", required=True,
        )  # fmt: skip
        st.text_input(
            "Reason", key="stage_reason", max_chars=promotions.LONGEST_REASON,
            placeholder="what was compared, and what decided",
        )  # fmt: skip
        st.form_submit_button("Save", on_click=decide, args=(checkpoint.id,), icon=":material/flag:")
    steps = promotions.history(widgets.workspace(), checkpoint.id)
    if steps:
        rows = [
            [
                f'<span style="white-space:nowrap">{step.at:%d %b %Y}</span>',
                step.stage or "demoted",
                html.escape(step.reason),
                html.escape(step.who),
            ]
            for step in steps
        ]
        st.html(markup.table(["when", "stage", "why", "who"], rows))
    else:
        st.caption(
            "Nobody has promoted it yet. A policy has one production model; promoting another one demotes it."
        )


def decide(checkpoint: str) -> None:
    """Promote or demote, as the form says."""
    space, state = widgets.workspace(), st.session_state
    stage, reason = state["to_stage"], state["stage_reason"]
    if stage == "no stage":
        done = widgets.attempt(promotions.demote, space, checkpoint, reason=reason, author=widgets.who())
    else:
        done = widgets.attempt(
            promotions.promote, space, checkpoint, stage, reason=reason, author=widgets.who()
        )
    if done is not None:
        state["stage_reason"] = ""
        widgets.say("success", f"{markup.plain(checkpoint)} is {done.stage or 'in no stage'} now.")


def export(checkpoint: StoredCheckpoint, row: BoardRow) -> None:
    """Draw the ways to take a checkpoint elsewhere."""
    st.html('<div class="wb-eyebrow">export</div>')
    place = model_export.exports_folder(widgets.workspace()) / checkpoint.id
    if place.is_dir():
        st.caption(markup.plain(f"Exported already: `{place}`"))
    elif row.megabytes is None:
        st.caption("Its weights are not on this machine.")
    elif row.megabytes <= model_export.HERE_MB:
        st.button(
            "Export as a Hugging Face folder", icon=":material/download:", on_click=take, args=(checkpoint.id, place),
            help="Takes some seconds. The copy is checked against the checkpoint before it appears.",
        )  # fmt: skip
    else:
        st.caption("It is large: export it by a command, in a process of its own.")
    st.caption("By command, also as ONNX:")
    for each in model_export.FORMATS:
        st.code(model_export.export_command(checkpoint.id, each), language="sh", wrap_lines=True)


def take(checkpoint: str, place: Path) -> None:
    """Export a checkpoint into the workspace's exports."""
    done = widgets.attempt(model_export.export, widgets.workspace(), checkpoint, place, author=widgets.who())
    if done is not None:
        widgets.say("success", markup.plain(f"Exported to `{done.folder}`, {done.bytes / 1e6:,.1f} MB."))

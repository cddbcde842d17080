"""The release gate as a card: whether a version may be used, check by check."""

from __future__ import annotations

import html

import streamlit as st

from workbench import markup, release, widgets
from workbench.release import Release

MARKS = {True: "passes", False: "fails", None: "cannot be judged"}


def draw(golden: str) -> None:
    """Draw the choice of a version and what its gate says."""
    space = widgets.workspace()
    name = space.store.policy_of(golden)
    versions = sorted((document.version for document in space.store.policy_versions(name)), reverse=True)
    columns = st.columns([2, 3, 7], vertical_alignment="bottom")
    with columns[0]:
        version = widgets.pick(
            st.selectbox, "Version", versions, key="gate_version", format_func=lambda v: f"v{v}"
        )
    judges = sorted(
        {
            run.judge.name
            for run in space.store.runs(policy=name, golden=golden)
            if run.status == "finished" and run.policy_version == version
        }
    )
    if not judges:
        widgets.empty(
            f"{name} v{version} has no finished run on {golden}.",
            "Start one on the Runs page: a gate needs figures.",
        )
        return
    document = space.store.policy(name, version)
    gate, _ = release.gate_of(space, document)
    with columns[1]:
        default = gate.judge if gate.judge in judges else judges[0]
        judge = widgets.pick(st.selectbox, "Judge", judges, key="gate_judge", default=default)
    if gate.split == "holdout" and not _agreed(golden):
        return
    found = release.release(space, name, version, golden=golden, who=widgets.who(), judge=judge)
    _card(found)


def _agreed(golden: str) -> bool:
    """Ask before a look at the holdout: each one is counted."""
    st.warning(f"This gate looks at the holdout of {golden}; every look is counted.")
    return st.toggle("Look at the holdout", key="gate_holdout")


def _card(found: Release) -> None:
    with st.container(border=True):
        said = "passes its gate" if found.passed else "does not pass its gate"
        widgets.section(f"{found.policy} v{found.version} {said}", [found.gate.split])
        against = f", against {found.before.label}" if found.before else ""
        run = f"{found.run.label}{against}" if found.run else found.reason
        source = found.source or "no gate.yaml: only what holds by default is checked"
        st.html(f'<div class="wb-muted wb-small">{html.escape(run)} · {html.escape(source)}</div>')
        if found.checks:
            rows = [
                [
                    f'<span class="wb-tag {"" if check.passed else "wb-broken"}">{MARKS[check.passed]}</span>',
                    html.escape(check.what),
                    html.escape(check.dimension),
                    html.escape(check.said),
                ]
                for check in sorted(found.checks, key=lambda check: (check.passed is True, check.what))
            ]
            st.html(markup.table(["", "check", "dimension", "figures"], rows))
    st.caption(
        f"The thresholds lie in policies/{found.policy}/gate.yaml. On the command line and in a pull request: "
        f"`workbench gate {found.policy}@{found.version}` ends with 1 where it does not pass "
        "(an example workflow is in docs/examples/policy-gate.yml)."
    )

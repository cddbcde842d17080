"""The workbench in the browser: navigation, who acts, one error boundary. Start it with ``make app``."""

import streamlit as st

from workbench import jobs, markup, widgets
from workbench.errors import WorkbenchError

st.set_page_config(page_title="Policy Workbench", page_icon=":material/rule:", layout="wide")

PAGES = {
    "": [st.Page("workbench/pages/home.py", title="Home", icon=":material/home:", default=True)],
    "Policy": [
        st.Page("workbench/pages/policy.py", title="Policy", icon=":material/article:"),
        st.Page("workbench/pages/draft.py", title="Draft", icon=":material/edit_document:"),
        st.Page("workbench/pages/policy_import.py", title="Import a policy", icon=":material/upload:"),
    ],
    "People": [
        st.Page("workbench/pages/golden.py", title="Golden set", icon=":material/fact_check:"),
        st.Page("workbench/pages/label.py", title="Label", icon=":material/edit_note:"),
    ],
    "Judges": [
        st.Page("workbench/pages/runs.py", title="Runs", icon=":material/play_circle:"),
        st.Page("workbench/pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("workbench/pages/review.py", title="Review", icon=":material/groups:"),
    ],
    "Models": [
        st.Page("workbench/pages/data.py", title="Data", icon=":material/database:"),
        st.Page("workbench/pages/train.py", title="Train", icon=":material/model_training:"),
        st.Page("workbench/pages/models.py", title="Models", icon=":material/leaderboard:"),
        st.Page("workbench/pages/pipelines.py", title="Pipelines", icon=":material/account_tree:"),
    ],
    "Workbench": [
        st.Page("workbench/pages/jobs.py", title="Jobs", icon=":material/work_history:"),
        st.Page("workbench/pages/settings.py", title="Settings", icon=":material/settings:"),
    ],
}


def main() -> None:
    """Draw the frame, then the chosen page inside the error boundary."""
    widgets.style()
    page = st.navigation(PAGES, expanded=True)
    try:
        workspace = widgets.workspace()
        widgets.sidebar_identity(workspace)
        jobs.collect(workspace)
        page.run()
    except WorkbenchError as error:
        st.error(markup.problem(error), icon=":material/error:")


main()

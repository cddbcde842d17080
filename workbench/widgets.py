"""Small pieces that several pages draw: the frame, choices bound to the URL, pairs, messages."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import streamlit as st

from workbench import markup
from workbench.errors import WorkbenchError
from workbench.golden import Pair
from workbench.identity import content_hash
from workbench.policy import Body
from workbench.policy_diff import Change
from workbench.workspace import Workspace, open_workspace


@st.cache_resource(show_spinner="Opening the workspace")
def workspace() -> Workspace:
    """Return the one workspace of this server."""
    return open_workspace()


def dark() -> bool:
    """Whether the page is drawn on a dark background."""
    return st.context.theme.type == "dark"


def style() -> None:
    """Put the style sheet on the page."""
    st.html(f"<style>{_sheet()}</style>")


@lru_cache(maxsize=1)
def _sheet() -> str:
    return (resources.files("workbench") / "templates" / "look.css").read_text("utf-8")


def script(name: str) -> None:
    """Run one of our own scripts from the templates folder on the page; never anything from outside."""
    text = (resources.files("workbench") / "templates" / name).read_text("utf-8")
    st.html(f"<script>{text}</script>", unsafe_allow_javascript=True)


def sidebar_identity(space: Workspace) -> None:
    """Draw who acts: the signed-in user, or a name that can be typed."""
    with st.sidebar:
        if getattr(st.user, "is_logged_in", False):
            st.caption(f"Signed in as {st.user.get('name') or st.user.get('email')}")
        else:
            st.text_input(
                "You are", value=space.settings.user, key="who", max_chars=60, persist_state="session"
            )


def who() -> str:
    """Return the name that labels, drafts and runs are recorded under."""
    if getattr(st.user, "is_logged_in", False):
        return str(st.user.get("email") or st.user.get("name"))
    return (st.session_state.get("who") or "").strip() or workspace().settings.user


def header(title: str, subtitle: str = "", tags: Sequence[str] = ()) -> None:
    """Draw a page's title with a sentence that says what one is looking at."""
    marks = "".join(f' <span class="wb-tag">{html.escape(tag)}</span>' for tag in tags)
    st.html(
        f'<h1 style="margin:0;font-size:1.5rem;font-weight:650">{html.escape(title)}{marks}</h1>'
        + (f'<div class="wb-muted" style="margin-top:2px">{html.escape(subtitle)}</div>' if subtitle else "")
    )


def section(title: str, tags: Sequence[str] = ()) -> None:
    """Draw the title of a part of a page."""
    marks = "".join(f' <span class="wb-tag">{html.escape(tag)}</span>' for tag in tags)
    st.html(f'<h2 style="margin:0;font-size:1.15rem;font-weight:640">{html.escape(title)}{marks}</h2>')


def empty(message: str, what_next: str) -> None:
    """Draw an empty state: what is not there, and what to do about it."""
    with st.container(border=True):
        st.markdown(f"**{message}**  \n{what_next}")


def pair_panes(pair: Pair, policy: Body, *, lit: bool = False, fold: int = markup.LONG_FIELD) -> None:
    """Draw a pair: query left, document right, as the policy lays it out.

    Args:
        lit: light the words of the query that occur in the document.
        fold: characters from which a field is folded.
    """
    marked = markup.shared_words(pair) if lit else frozenset()
    left, right = st.columns(2, gap="medium")
    for column, side, fields, words_lit in (
        (left, policy.pair.query, pair.query, frozenset()),
        (right, policy.pair.document, pair.document, marked),
    ):
        with column, st.container(border=True):
            body = markup.pair_side(fields, side.fields, marked=words_lit, fold=fold)
            st.html(f'<div class="wb-eyebrow">{html.escape(side.name)}</div>{body}')


def choose_policy(label: str = "Policy", key: str = "policy") -> str | None:
    """Draw the choice of a policy by name, bound to the URL; None where there is none."""
    if not has_policy():
        return None
    return pick(st.selectbox, label, workspace().store.policy_names(), key=key)


def choose_policy_to_edit(label: str = "Policy", key: str = "policy") -> str | None:
    """Draw the choice of a policy that can be edited: also one that so far is only a draft."""
    store = workspace().store
    names = sorted({*store.policy_names(), *(draft.name for draft in store.drafts())})
    if not names:
        has_policy()
        return None
    return pick(st.selectbox, label, names, key=key)


def pick(
    draw: Callable[..., Any],
    label: str,
    options: Sequence[Any],
    *,
    key: str,
    default: Any = None,
    **more: Any,
) -> Any:
    """Draw a choice whose value, not its wording, is in the URL; return what is chosen.

    Streamlit's own binding writes the formatted text, which changes with a date or a title; a link should hold the
    id. ``draw`` is ``st.selectbox``, ``st.radio`` or ``st.segmented_control``. The default is left out of the URL.
    """
    first = default if default in options else options[0]
    if st.session_state.get(key) not in options:
        by_text = {str(option): option for option in options}
        st.session_state[key] = by_text.get(st.query_params.get(key, ""), first)
    if draw is st.segmented_control:
        more["required"] = True
    chosen = draw(label, options, key=key, **more)
    if chosen == first:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != str(chosen):
        st.query_params[key] = str(chosen)
    return chosen


def change_list(changes: Sequence[Change]) -> None:
    """Draw changes one below the other, words marked."""
    if changes:
        st.html(
            "".join(
                markup.clause(
                    change.id,
                    f'<div class="wb-words wb-small">{markup.words(change)}</div>',
                    change.kind + (f" from {change.origin}" if change.origin else ""),
                )
                for change in changes
            )
        )


def has_golden() -> bool:
    """Return whether there is a golden set; draw what to do where there is none."""
    if workspace().store.golden_names():
        return True
    empty("No golden sets yet.", "Import one on the Golden set page, or run `workbench golden import FILE`.")
    return False


def has_policy() -> bool:
    """Return whether there is a policy; draw what to do where there is none."""
    if workspace().store.policy_names():
        return True
    empty("No policies yet.", "Put a document under `policies/<name>/v1.yaml` and run `workbench sync`.")
    return False


def choose_golden(label: str = "Golden set", key: str = "golden") -> str | None:
    """Draw the choice of a golden set, bound to the URL; None where there is none."""
    names = workspace().store.golden_names()
    if not names:
        empty(
            "No golden sets yet.", "Import one on the Golden set page, or run `workbench golden import FILE`."
        )
        return None
    return pick(st.selectbox, label, names, key=key)


def open_row(
    view: Any, ids: Sequence[str], parameter: str, *, paged: bool = False, **options: Any
) -> str | None:
    """Draw a table whose rows open, and return the id of the open one; the URL says which it is.

    Args:
        view: what is shown, one row an id; a data frame or its Styler.
        ids: what the rows stand for.
        parameter: name in the URL.
        paged: the rows are one page of many, so that the open one may be on another page.
        options: for ``st.dataframe``.
    """
    wanted = st.query_params.get(parameter)
    # A selection is kept by position: with other rows it is another table, opened where the URL says.
    key = content_hash(parameter, list(ids))

    def choose() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            st.query_params[parameter] = ids[rows[0]]
        else:
            st.query_params.pop(parameter, None)

    rows = [ids.index(wanted)] if wanted in ids else []
    st.dataframe(
        view, hide_index=True, key=key, on_select=choose, selection_mode="single-row",
        selection_default={"selection": {"rows": rows, "columns": []}}, **options,
    )  # fmt: skip
    if paged:
        return wanted
    if wanted and not rows:
        st.warning(
            f"There is no {parameter} '{markup.plain(wanted)}' in this workspace. Choose a row of the table."
        )
    return wanted if rows else None


def flash() -> None:
    """Show what the last callback had to say, once. Callbacks leave it with :func:`say`."""
    for kind, text in st.session_state.pop("_said", []):
        getattr(st, kind)(text)


def say(kind: str, text: str) -> None:
    """Leave a message (``success``, ``error``, ``warning``, ``info``) for the next drawing of the page."""
    st.session_state.setdefault("_said", []).append((kind, text))


def attempt(verb: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a verb inside a callback; a user-facing error becomes a message, and None comes back."""
    try:
        return verb(*args, **kwargs)
    except WorkbenchError as error:
        say("error", markup.problem(error))
        return None


def leave_for(page: str, **parameters: str) -> None:
    """Open another page when this one is drawn next; a callback itself cannot. :func:`follow` does it."""
    st.session_state["_next_page"] = page, parameters


def follow() -> None:
    """Open the page that a callback asked for."""
    if wanted := st.session_state.pop("_next_page", None):
        page, parameters = wanted
        st.switch_page(f"workbench/pages/{page}.py", query_params=parameters)

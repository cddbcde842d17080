"""The Comments tab beside the editor: threads about the part being edited, a new one, and those open elsewhere."""

from __future__ import annotations

import html
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import streamlit as st

from workbench import comments, draft_state, job_cards, markup, widgets
from workbench.comments import Thread
from workbench.policy import Body
from workbench.policy_diff import GENERAL, OVERALL_RULE, Change
from workbench.store import Draft
from workbench.store.comments import Comment

ELSEWHERE = 12
"""Open threads about other parts that are listed."""
_WORDS = 56
"""Characters of a comment in that list."""
_FOLD = 300
"""Characters from which a reworded text is folded."""


def draw(draft: Draft, base: Body, section: str, item: str) -> None:
    """Draw the tab. ``base`` is not needed: a comment is compared with what its part said when it was written."""
    found = comments.threads(widgets.workspace(), draft.name, draft.body)
    here = [thread for thread in found if _is_here(thread, section, item)]
    for thread in here:
        if not thread.resolved:
            card(draft, thread, item)
    begin(draft, section, item, first=not here)
    resolved([thread for thread in here if thread.resolved], draft, section, item)
    elsewhere([thread for thread in found if not thread.resolved and thread not in here], section)


def _is_here(thread: Thread, section: str, item: str) -> bool:
    # Gates are edited together with the rest of the overall rule.
    return thread.section == section and (thread.item == item or (section == OVERALL_RULE and not item))


def part_name(section: str, item: str) -> str:
    """Return what a part is called in a sentence."""
    if item.startswith("level "):
        return f"{section} {item}"
    return item or {GENERAL: "the general rules", OVERALL_RULE: "the overall rule"}.get(section, section)


# Threads


def card(draft: Draft, thread: Thread, item: str) -> None:
    """Draw one thread: what was said, what the part said then if that changed, answers, what can be done."""
    first = thread.first
    with st.container(border=True, gap=None, key=f"comment_{first.id}"):
        st.html(thread_html(thread, item))
        with st.container(horizontal=True, gap="small"):
            if thread.resolved:
                st.button(
                    "Open again",
                    type="tertiary",
                    key=f"reopen:{first.id}",
                    on_click=_reopen,
                    args=(first.id,),
                )
                return
            answering = f"answering:{first.id}"
            if not st.session_state.get(answering):
                st.button(
                    "Reply",
                    type="tertiary",
                    key=f"reply:{first.id}",
                    on_click=_answer,
                    args=(answering, True),
                )
            st.button(
                "Resolve", type="tertiary", key=f"resolve:{first.id}", on_click=_resolve, args=(first.id,)
            )
        if st.session_state.get(answering):
            with st.container(gap="small"):
                answer(draft, first.id, answering)


def answer(draft: Draft, thread_id: str, answering: str) -> None:
    """Draw the field for an answer; ``answering`` is what in the session says that it is open."""
    field, key = f"reply_text:{thread_id}", _key(f"reply:{thread_id}")
    _text(field, "Reply", "")
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Send the reply", key=f"send_{key}", on_click=_reply, args=(draft.id, thread_id, field, key)
        )
        st.button(
            "Cancel", type="tertiary", key=f"cancel:{thread_id}", on_click=_answer, args=(answering, False)
        )


def begin(draft: Draft, section: str, item: str, *, first: bool) -> None:
    """Draw the field for a new comment."""
    name = part_name(section, item)
    place = f"{draft.id}:{section}:{item}"
    field, key = f"comment_text:{place}", _key(f"comment:{place}")
    _text(field, f"Comment on {name}", "What is unclear, wrong or open here?" if first else "")
    st.button(
        "Comment", icon=":material/add_comment:", key=f"say_{key}", on_click=_comment,
        args=(draft, section, item, field, key),
    )  # fmt: skip


def resolved(found: Sequence[Thread], draft: Draft, section: str, item: str) -> None:
    """Draw the settled threads, folded, the one that was settled last first."""
    if not found:
        return
    key = f"comments_resolved:{draft.id}:{section}:{item}"
    with st.expander(f"Resolved ({len(found)})", key=key, on_change="rerun") as box:
        if box.open:
            for thread in sorted(found, key=lambda t: t.first.resolved_at or t.first.at, reverse=True):
                card(draft, thread, item)


def elsewhere(found: Sequence[Thread], section: str) -> None:
    """Draw the open threads about other parts, those of the open section first; each opens its part."""
    if not found:
        return
    st.html('<div class="wb-eyebrow" style="margin-top:10px">open on other parts</div>')
    with st.container(gap=None):
        for thread in sorted(found, key=lambda t: t.section != section)[:ELSEWHERE]:
            st.button(
                f"**{markup.plain(part_name(thread.first.section, thread.first.item))}** {_start(thread)}",
                type="tertiary", key=f"to_comment:{thread.first.id}",
                on_click=draft_state.go, args=(thread.section, thread.item),
            )  # fmt: skip
    if len(found) > ELSEWHERE:
        st.caption(f"and {len(found) - ELSEWHERE} more; the outline shows where.")


def _start(thread: Thread) -> str:
    text = " ".join(thread.first.text.split())
    start = text if len(text) <= _WORDS else f"{text[:_WORDS].rsplit(' ', 1)[0]} …"
    return f":gray[{markup.plain(f'{thread.first.author}: {start}')}]"


# What is done. A comment's key is made with its field, so that a double click adds it once


def _text(field: str, label: str, placeholder: str) -> None:
    # Kept while another part is open: somebody looks there before going on with the sentence.
    st.text_area(label, key=field, height=80, placeholder=placeholder, persist_state="session")


def _key(of: str) -> str:
    key: str = st.session_state.setdefault(f"_key:{of}", secrets.token_hex(8))
    return key


def _sent(of: str, field: str) -> None:
    st.session_state[field] = ""
    st.session_state.pop(f"_key:{of}", None)


def _comment(draft: Draft, section: str, item: str, field: str, key: str) -> None:
    done = widgets.attempt(
        comments.comment, widgets.workspace(), draft.name, draft.body, section, item,
        st.session_state.get(field) or "", widgets.who(), draft_id=draft.id, key=key,
    )  # fmt: skip
    if done is not None:
        _sent(f"comment:{draft.id}:{section}:{item}", field)


def _reply(draft_id: str, thread_id: str, field: str, key: str) -> None:
    done = widgets.attempt(
        comments.reply, widgets.workspace(), thread_id, st.session_state.get(field) or "", widgets.who(),
        draft_id=draft_id, key=key,
    )  # fmt: skip
    if done is not None:
        _sent(f"reply:{thread_id}", field)
        _answer(f"answering:{thread_id}", False)


def _answer(flag: str, on: bool) -> None:
    st.session_state[flag] = on


def _resolve(thread_id: str) -> None:
    widgets.attempt(comments.resolve, widgets.workspace(), thread_id, widgets.who())


def _reopen(thread_id: str) -> None:
    widgets.attempt(comments.reopen, widgets.workspace(), thread_id, widgets.who())


# As HTML; all texts come from outside and are escaped


def thread_html(thread: Thread, item: str = "") -> str:
    """Return a thread: its first comment, what its part said then if that changed, the answers, who settled it.

    Args:
        item: the part it is drawn beside; another one is named.
    """
    first = thread.first
    place = f' <span class="wb-tag">{html.escape(first.place)}</span>' if first.item != item else ""
    answers = "".join(f'<div style="margin-top:6px">{said_html(reply)}</div>' for reply in thread.replies)
    side = f'<div class="wb-side" style="margin:4px 0 0 2px">{answers}</div>' if answers else ""
    end = ""
    if first.resolved_at is not None:
        end = (
            f'<div class="wb-muted wb-small" style="margin-top:6px" title="{_exactly(first.resolved_at)}">'
            f"resolved by {html.escape(first.resolved_by)}, {job_cards.ago(first.resolved_at)}</div>"
        )
    return said_html(first, place) + then_html(thread) + side + end


def said_html(said: Comment, tags: str = "") -> str:
    """Return one comment: who, when, what."""
    return (
        f'<div class="wb-small"><b>{html.escape(said.author)}</b> <span class="wb-muted" '
        f'title="{_exactly(said.at)}">{job_cards.ago(said.at)}</span>{tags}</div>'
        f'<div style="white-space:pre-line;overflow-wrap:anywhere;font-size:.92rem">{html.escape(said.text)}</div>'
    )


def then_html(thread: Thread) -> str:
    """Return what the part said when the thread was begun, against what it says now; "" if that is the same."""
    if thread.gone:
        head, text = "no longer in this draft; it said", f"<del>{html.escape(thread.first.quoted)}</del>"
    elif thread.stale:
        head, text = "reworded since", _words(thread.first.quoted, thread.text or "")
    else:
        return ""
    is_open = " open" if len(thread.first.quoted) < _FOLD else ""
    return (
        f'<details class="wb-small" style="margin-top:4px"{is_open}><summary class="wb-muted" '
        f'style="cursor:pointer">{head}</summary><div class="wb-words wb-side" '
        f'style="white-space:pre-line;overflow-wrap:anywhere">{text}</div></details>'
    )


@lru_cache(maxsize=512)
def _words(before: str, after: str) -> str:
    return markup.words(
        Change(kind="reworded", part="clause", section=GENERAL, id="", before=before, after=after)
    )


def _exactly(moment: datetime) -> str:
    return f"{moment:%d %b %Y %H:%M:%S} UTC"

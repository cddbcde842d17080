"""Import a policy: a document, what its headings are, how it reads as a policy, and a draft of it."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from workbench import markup, policy_import, widgets
from workbench.errors import WorkbenchError
from workbench.outline_roles import RoleMapping
from workbench.pages import policy_mapping, policy_preview
from workbench.policy import Layout, Policy
from workbench.policy_assembly import Built
from workbench.policy_import import Document, Report
from workbench.word_files import MAX_BYTES

# The old .doc is among them so that the page can say what to do about it.
TYPES = ["md", "markdown", "txt", "docx", "doc", "yaml", "yml"]
NEW, OWN, TYPED = "", "in the document", "typed here"


@dataclass(frozen=True)
class Target:
    """Where an import goes: a policy that there is (then ``base`` is set), or a new one."""

    name: str
    title: str
    base: Policy | None


def page() -> None:
    """Draw the steps of an import, each as soon as the one before it stands."""
    widgets.follow()
    widgets.header(
        "Import a policy",
        "A Markdown, Word or YAML document becomes a draft; nothing is kept before you say so.",
    )
    widgets.flash()
    upload = st.file_uploader(
        "Document: Markdown, Word (.docx) or YAML",
        type=TYPES,
        max_upload_size=MAX_BYTES // 2**20,
        key="import_document",
    )
    if upload is None:
        st.caption(
            "Headings become dimensions, levels, clauses and precedents; you see what each becomes and can change it. "
            "What has no place is kept as general rules. A document that was made from a policy here becomes an edit "
            "of it: its rules keep their ids."
        )
        return
    data = upload.getvalue()
    said = st.container()  # above the long list of headings, so that it is seen
    stem = hashlib.sha256(upload.name.encode() + b"\n" + data).hexdigest()[:16]
    try:
        steps(read(stem, upload.name, data), stem)
    except WorkbenchError as error:
        said.error(markup.problem(error), icon=":material/error:")


@st.cache_resource(max_entries=8, show_spinner="Reading the document")
def read(stem: str, name: str, _data: bytes) -> Document:
    """Return what a file says; read once a content."""
    return policy_import.read_document(_data, name)


@st.cache_resource(max_entries=16, show_spinner=False)
def made(
    stem: str,
    mapping: str,
    pair: str,
    base: str,
    _parts: tuple[Document, RoleMapping | None, Layout | None, Policy | None],
) -> tuple[Built, Report]:
    """Return the policy that a document makes and its report; built once a mapping, layout and base."""
    document, roles, layout, policy = _parts
    built = policy_import.build(document, roles, pair=layout, base=policy)
    return built, policy_import.report(built, policy)


def steps(document: Document, stem: str) -> None:
    """Draw target, mapping and preview of a document that could be read."""
    bar = st.columns([2, 1.6, 2, 2.6])
    below = st.container()
    left, right = st.columns([1, 1], gap="large")
    target = choose_target(bar, document, stem)
    base = target.base
    roles = pair = None
    if document.outline is not None:
        scope = f"{stem}|{base.content_hash if base else ''}"
        with left:
            widgets.section("What each heading is")
            roles = policy_mapping.draw(document.outline, base, scope)
        pair = choose_pair(bar[2], below, roles, base, scope)
    built, found = made(
        stem,
        roles.model_dump_json() if roles else "",
        pair.model_dump_json() if pair else "",
        base.content_hash if base else "",
        (document, roles, pair, base),
    )
    with right if document.outline is not None else st.container():
        policy_preview.draw(built, found, base)
    with below:
        finish(built, found, target)


def choose_target(bar: Sequence[DeltaGenerator], document: Document, stem: str) -> Target:
    """Draw the choice of the policy that the document belongs to, and what the draft is called."""
    store = widgets.workspace().store
    names = store.policy_names()
    into, second, _, last = bar
    known = document.policy in names
    options = [NEW, *names]
    name = into.selectbox(
        "It belongs to", options, index=options.index(document.policy) if known else 0, key=f"into|{stem}",
        format_func=lambda found: found or "a new policy",
        help="A document that was exported from a policy, or says the same in other words, is an edit of it.",
    )  # fmt: skip
    base = None
    if name:
        numbers = [policy.version for policy in store.policy_versions(name)][::-1]
        said = document.version if known and name == document.policy else 0
        number = second.selectbox(
            "Made from version", numbers, index=numbers.index(said) if said in numbers else 0, key=f"of|{stem}|{name}",
            format_func="v{}".format,
            help="Versions that were published since are merged when the draft is published.",
        )  # fmt: skip
        base = policy_import.base_of(widgets.workspace(), name, number)
    else:
        start = document.outline.name if document.outline else document.body.title
        name = second.text_input(
            "Its name", policy_import.suggested_name(document, start), key=f"name|{stem}", max_chars=80,
            help="Small letters, digits and hyphens; it names the folder and cannot be changed later.",
        )  # fmt: skip
    title = last.text_input(
        "Title of the draft", f"From {document.file}"[:120], key=f"title|{stem}", max_chars=120
    )
    return Target(name.strip(), title, base)


def choose_pair(
    at: DeltaGenerator, below: DeltaGenerator, roles: RoleMapping, base: Policy | None, scope: str
) -> Layout | None:
    """Draw where the layout of a pair comes from; None for the document's own, or that of the base."""
    store = widgets.workspace().store
    names = store.policy_names()
    own = any(item.role == "pair" for item in roles.headings)
    options = [*([OWN] if own else []), *names, TYPED]
    first = OWN if own else base.name if base else options[0]
    layouts = {name: store.policy(name).pair for name in names} | ({base.name: base.pair} if base else {})
    known = "; ".join(f"{name}: {', '.join(layout.field_names())}" for name, layout in layouts.items())
    chosen = at.selectbox(
        "How a pair is laid out", options, index=options.index(first), key=f"pair|{scope}",
        format_func=lambda found: f"as in {found}" if found in names else found, help=markup.plain(known) or None,
    )  # fmt: skip
    if chosen == OWN:
        return None
    if chosen != TYPED:
        return layouts[chosen]
    typed = []
    with below:
        cells = st.columns([1, 3, 1, 3])
    for side, place, fields in (("query", *cells[:2]), ("document", *cells[2:])):
        typed.append(place.text_input(f"The {side} is a", side, key=f"side|{side}|{scope}", max_chars=60))
        typed.append(
            fields.text_input(
                f"Fields of the {side}, separated by commas", "text", key=f"fields|{side}|{scope}"
            )
        )
    return policy_import.typed_layout(*typed)


def finish(built: Built, found: Report, target: Target) -> None:
    """Draw the figures of the import and the button that makes a draft of it."""
    left, right = st.columns([5, 2], vertical_alignment="center")
    errors = sum(finding.severity == "error" for finding in found.findings)
    figures = [
        (len(built.body.dimensions), "dimensions"),
        (found.clauses, "clauses"),
        (found.precedents, "precedents"),
        (len(built.body.terms), "terms"),
        (len(built.unplaced), "not placed"),
        (errors, "lint errors"),
        *([(len(found.changes), f"changes to v{target.base.version}")] if target.base else []),
    ]
    spans = "".join(f"<div><b>{count}</b><span>{html.escape(what)}</span></div>" for count, what in figures)
    left.html(f'<div class="wb-figures">{spans}</div>')
    same = found.changes == ()
    right.button(
        "Make a draft of it", type="primary", on_click=make, args=(built, target), key="make_draft",
        icon=":material/edit_document:", disabled=same, width="stretch",
        help=f"It says the same as v{target.base.version}." if same and target.base else None,
    )  # fmt: skip


def make(built: Built, target: Target) -> None:
    """Keep the import as a draft and open it (a callback)."""
    draft = widgets.attempt(
        policy_import.start_imported_draft,
        widgets.workspace(),
        built,
        name=target.name,
        title=target.title,
        author=widgets.who(),
        version=target.base.version if target.base else 0,
    )
    if draft is not None:
        widgets.leave_for("draft", policy=draft.name, draft=draft.id)


page()

"""The whole way of a document: a file, its mapping, the policy it makes, a draft, and out again."""

from __future__ import annotations

import re
from pathlib import Path

import docx
import policy_samples
import pytest
from word_samples import KEYS, LAYOUT, OLE, saved, thirty_pages, word_file

from workbench import authoring, policy_edit, policy_import
from workbench.documents import policy_text
from workbench.errors import BadInput, Refused
from workbench.outline_roles import HeadingRole
from workbench.policy import Body, Policy
from workbench.policy_diff import diff
from workbench.policy_export import to_html, to_markdown
from workbench.policy_import import (
    base_of,
    build,
    choose,
    propose,
    read_document,
    report,
    start_imported_draft,
)
from workbench.word_files import MAX_BYTES
from workbench.workspace import Workspace

NAME = "tea-match"
JOB_MATCH = policy_samples.shipped()[2]


def kinds(before: Body, after: Body) -> list[tuple[str, str]]:
    return [(change.kind, change.id) for change in diff(before, after)]


def published(workspace: Workspace, clause: str, text: str) -> Policy:
    draft = authoring.start_draft(workspace, NAME, "Ben")
    draft = authoring.save(workspace, draft, policy_edit.set_clause(draft.body, clause, text), "Ben")
    return authoring.publish(workspace, draft, message="Another.", author="Ben")


# Files


@pytest.mark.parametrize(
    ("data", "name", "says", "remedy"),
    [
        (b"", "a.yaml", "a.yaml is empty.", "Choose the file"),
        (b"# nothing\n", "a.yaml", "a.yaml is empty.", "YAML document"),
        (b"", "a.docx", "a.docx is empty.", "Choose the file"),
        (OLE, "a.doc", "old format", "save it as .docx"),
        (OLE, "a.docx", "password", "take the password away"),
        (saved(docx.Document())[:2000], "a.docx", "not a whole .docx file", "Save it again"),
        ("title: Größe".encode("latin-1"), "a.yaml", "not UTF-8 text (byte 10)", "Save it as UTF-8"),
        ("# Größe".encode("utf-16"), "a.md", "not UTF-8 text (byte 1)", "Save it as UTF-8"),
        (b"\0" * (MAX_BYTES + 1), "a.docx", "has 50.0 MB", "Take out its pictures"),
        (b"a: " * 400_000, "a.yaml", "1,200,000 characters", "Divide it"),
        (b"title: x\ntitle: y\n", "a.yaml", "line 2: 'title' is given twice", "Keep one"),
        (b"- a\n", "a.yml", "not a document with keys", "key: value"),
        (b"title: x\nstray: 1\n", "a.yaml", "a.yaml, line 1", "more after it"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence_with_a_remedy(
    data: bytes, name: str, says: str, remedy: str
) -> None:
    with pytest.raises(BadInput) as caught:
        read_document(data, name)
    assert says in caught.value.message
    assert remedy in caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_document_says_which_version_it_is() -> None:
    markdown = to_markdown(JOB_MATCH)
    for data, name in ((markdown.encode(), "x.md"), (word_file(markdown), "x.docx")):
        document = read_document(data, name)
        assert (document.policy, document.version) == ("job-match", 3)
    assert read_document(b"# Version\n\n- **Version:** job-match v3\n", "x.md").policy == ""
    document = read_document(policy_text(JOB_MATCH).encode(), "x.yaml")
    assert (document.policy, document.version, document.body) == ("job-match", 3, JOB_MATCH.body())


def test_yaml_without_a_header_is_a_body() -> None:
    document = read_document(policy_edit.body_text(JOB_MATCH.body()).encode(), "x.yml")
    assert (document.policy, document.version, document.body) == ("", 0, JOB_MATCH.body())


# Round trips


@pytest.mark.parametrize("policy", policy_samples.shipped(), ids=lambda policy: policy.label)
@pytest.mark.parametrize("form", ["x.md", "x.docx", "x.yaml"])
def test_out_and_in_again_changes_nothing(policy: Policy, form: str) -> None:
    markdown = to_markdown(policy)
    data = {"x.md": markdown.encode(), "x.docx": word_file(markdown), "x.yaml": policy_text(policy).encode()}
    built = build(read_document(data[form], form), base=policy)
    assert built.body == policy.body()
    assert (built.unplaced, built.renumbered) == ((), ())


def without_ids(markdown: str) -> str:
    """The document as somebody has it who threw our ids and keys away."""
    text = re.sub(
        r"^( *- )\*\*(?!gate)[a-z_]+\.p?\d+\*\*(?: \(from [a-z_.0-9]+\))? ",
        r"\1",
        markdown,
        flags=re.MULTILINE,
    )
    text = re.sub(r"^  - Cites: .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^- \*\*(Key|Weight|Considers|N/A):\*\* .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"## This version\n.*?(?=\n## )", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("form", ["x.md", "x.docx"])
@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
def test_two_edits_in_a_word_processor_are_two_reworded_clauses(form: str, ids: bool) -> None:
    markdown = to_markdown(JOB_MATCH)
    if not ids:
        markdown = without_ids(markdown)
        assert "skills.1**" not in markdown
        assert "Key:" not in markdown
    edits = {
        "A border in between does not matter by itself.": "A border in between changes nothing, unless it is closed.",
        "Traits that no text can prove": "Soft skills and other traits that no text can ever prove",
    }
    for old, new in edits.items():
        assert markdown.count(old) == 1
        markdown = markdown.replace(old, new)
    data = word_file(markdown) if form == "x.docx" else markdown.encode()
    built = build(read_document(data, form), base=JOB_MATCH)
    changed = [
        c.id for (_, c), (_, n) in zip(JOB_MATCH.clauses(), built.body.clauses(), strict=True) if c != n
    ]
    assert len(changed) == 2
    assert kinds(JOB_MATCH, built.body) == [("reworded", one) for one in changed]
    texts = [clause.text for _, clause in JOB_MATCH.clauses() if clause.id in changed]
    for old, new in edits.items():
        texts = [text.replace(old, new) for text in texts]
    assert [clause.text for _, clause in built.body.clauses() if clause.id in changed] == texts


def test_adding_removing_and_moving_a_clause_in_a_word_processor() -> None:
    lines = without_ids(to_markdown(JOB_MATCH)).split("\n")
    texts = [clause.text for clause in JOB_MATCH.dimension("industry").clauses]
    at = [next(i for i, line in enumerate(lines) if line == f"- {text}") for text in texts]
    lines[at[1]] = "- Farming is an industry of its own, whatever is grown, raised or caught."
    lines[at[2]], lines[at[3]] = lines[at[3]], lines[at[2]]
    built = build(read_document(word_file("\n".join(lines)), "x.docx"), base=JOB_MATCH)
    ids = [clause.id for clause in JOB_MATCH.dimension("industry").clauses]
    new = built.body.dimension("industry").clauses
    fresh = JOB_MATCH.fresh_id("industry")
    assert [c.id for c in new] == [ids[0], fresh, ids[3], ids[2], *ids[4:]]
    assert sorted(kind for kind, _ in kinds(JOB_MATCH, built.body)) == ["added", "moved", "removed"]
    assert set(built.body.retired) == {*JOB_MATCH.retired, ids[1]}


# The mapping


def test_headings_titled_like_the_dimensions_of_the_policy_are_those() -> None:
    text = "# Policy\n\n## 1. Role\n\n- a rule\n\n## Wishes of the member\n\n- another\n"
    outline = read_document(text.encode(), "x.md").outline
    assert outline is not None
    titles = {dimension.title: dimension.key for dimension in JOB_MATCH.dimensions}
    known = next(iter(titles))
    outline = read_document(text.replace("1. Role", f"1. {known}").encode(), "x.md").outline
    assert outline is not None
    found = {item.heading: (item.role, item.dimension) for item in propose(outline, base=JOB_MATCH).headings}
    assert found[f"1. {known}"] == ("dimension", titles[known])
    assert found["Wishes of the member"] == ("general", "")
    assert {item.role for item in propose(outline).headings} == {"title", "general"}


def test_choosing_roles_keeps_the_whole_together() -> None:
    text = "# P\n## Travel\n### Rules\n- far\n## Pay\n## Notes\n- more\n"
    outline = read_document(text.encode(), "x.md").outline
    assert outline is not None
    headings = [section.title for section in outline.sections]
    travel, rules, pay, notes = (headings.index(title) for title in ("Travel", "Rules", "Pay", "Notes"))
    chosen: dict[int, HeadingRole] = {}

    def now() -> dict[str, tuple[str, str]]:
        return {item.heading: (item.role, item.dimension) for item in propose(outline, chosen).headings}

    chosen = choose(propose(outline, chosen), chosen, travel, "dimension")
    assert now()["Travel"] == ("dimension", "travel")
    assert now()["Rules"] == ("clauses", "travel"), "what stands under it follows"
    chosen = choose(propose(outline, chosen), chosen, notes, "clauses")
    assert now()["Notes"] == ("clauses", "travel"), "the nearest dimension above"
    chosen = choose(propose(outline, chosen), chosen, travel, "dimension", "commute")
    assert now()["Notes"] == ("clauses", "commute"), "a new key is followed by what was put under the old one"
    with pytest.raises(BadInput, match="needs a key such as"):
        choose(propose(outline, chosen), chosen, travel, "dimension", "Go there")
    with pytest.raises(BadInput, match="'overall' is reserved"):
        choose(propose(outline, chosen), chosen, pay, "dimension", "overall")
    chosen = choose(propose(outline, chosen), chosen, travel, "general")
    assert now()["Rules"] == ("general", "")
    assert now()["Notes"] == ("general", ""), "its dimension is gone, so it is guessed anew"
    chosen = choose(
        propose(outline, chosen), chosen, rules, "clauses"
    )  # of the nearest dimension above: none
    assert now()["Rules"] == ("clauses", "")
    built = build(read_document(text.encode(), "x.md"), propose(outline, chosen))
    assert [one.text for one in built.unplaced] == ["far"], "clauses of no dimension are general rules"


def test_a_second_dimension_of_one_title_gets_a_key_of_its_own() -> None:
    outline = read_document(b"# P\n## Pay\n## Notes\n## Pay\n", "x.md").outline
    assert outline is not None
    chosen = choose(propose(outline), {}, 2, "dimension")
    chosen = choose(propose(outline, chosen), chosen, 4, "dimension")
    assert propose(outline, chosen).keys == ("pay", "pay_2")


def test_a_typed_layout() -> None:
    layout = policy_import.typed_layout("member", "skills, city", "job", "title place")
    assert layout.field_names() == ["member.skills", "member.city", "job.title", "job.place"]
    for wrong in (("member", "", "job", "title"), ("Member", "a", "job", "b"), ("a", "x", "a", "y")):
        with pytest.raises(BadInput, match="The layout of a pair"):
            policy_import.typed_layout(*wrong)


def test_names_are_suggested() -> None:
    document = read_document(b"# A\n", "x.md")
    assert (
        policy_import.suggested_name(document, "Is this tea right for this guest, really?")
        == "is-this-tea-right-for"
    )
    assert policy_import.suggested_name(document, "???") == "dimension"
    assert (
        policy_import.suggested_name(read_document(policy_text(JOB_MATCH).encode(), "x.yaml"), "T")
        == "job-match"
    )


# Drafts


def test_a_document_becomes_a_draft_of_a_new_policy(workspace: Workspace) -> None:
    built = build(read_document(b"# Cake\n## Crumb\nIs it moist?\n- dry is bad\n", "cake.md"))
    draft = start_imported_draft(workspace, built, name="cake", title="  From\nWord ", author="Ida")
    assert (draft.name, draft.base_version, draft.title, draft.author) == ("cake", 0, "From Word", "Ida")
    assert workspace.store.draft(draft.id).body == built.body
    assert workspace.store.policy_names() == [NAME], "nothing is published"
    with pytest.raises(Refused, match="begun a policy called 'cake'"):
        start_imported_draft(workspace, built, name="cake", title="", author="Ben")
    with pytest.raises(BadInput, match="cannot be the name"):
        start_imported_draft(workspace, built, name="Cake!", title="", author="Ben")


def test_a_document_becomes_an_edit_of_the_policy_there_is(workspace: Workspace) -> None:
    policy = workspace.store.policy(NAME)
    markdown = to_markdown(policy).replace("Smoke counts as a taste.", "Smoke is a taste.")
    built = build(read_document(markdown.encode(), "x.md"), base=policy)
    draft = start_imported_draft(workspace, built, name=NAME, title="", author="Ida")
    assert draft.base_version == 1
    assert kinds(policy, draft.body) == [("reworded", "taste.1")]
    assert report(built, policy).changes == diff(policy, draft.body)


def test_ids_are_kept_even_if_the_policy_was_built_without_its_base(workspace: Workspace) -> None:
    policy = workspace.store.policy(NAME)
    markdown = without_ids(to_markdown(policy)).replace("- Smoke counts", "- New rule.\n- Smoke counts")
    built = build(read_document(markdown.encode(), "x.md"))
    assert [c.id for c in built.body.dimension("taste").clauses] == ["taste.4", "taste.5", "taste.6"]
    draft = start_imported_draft(workspace, built, name=NAME, title="", author="Ida")
    assert [c.id for c in draft.body.dimension("taste").clauses] == ["taste.4", "taste.1", "taste.2"]


def test_a_document_that_changes_nothing_is_refused(workspace: Workspace) -> None:
    policy = workspace.store.policy(NAME)
    built = build(read_document(to_markdown(policy).encode(), "x.md"), base=policy)
    with pytest.raises(Refused, match="says the same as tea-match v1"):
        start_imported_draft(workspace, built, name=NAME, title="", author="Ida")
    assert workspace.store.drafts() == []


def test_an_edit_of_an_older_version_does_not_take_back_the_newer_one(workspace: Workspace) -> None:
    """Exported as v1, edited for a week; v2 was published meanwhile."""
    markdown = to_markdown(workspace.store.policy(NAME))
    published(workspace, "taste.2", "A blend tastes of its main leaf.")
    document = read_document(markdown.replace("Smoke counts", "Only smoke counts").encode(), "x.md")
    base = base_of(workspace, document.policy, document.version)
    assert base is not None
    assert base.version == 1
    built = build(document, base=base)
    draft = start_imported_draft(
        workspace, built, name=NAME, title="From Word", author="Ida", version=document.version
    )
    assert (draft.base_version, draft.title) == (1, "From Word")
    assert kinds(authoring.base_body(workspace, draft), draft.body) == [("reworded", "taste.1")]
    third = authoring.publish(workspace, draft, message="Both.", author="Ida")
    assert third.version == 3
    assert [c.text for c in third.dimension("taste").clauses] == [
        "Only smoke counts as a taste.",
        "A blend tastes of its main leaf.",
    ]


def test_the_base_is_the_named_version_or_the_newest(workspace: Workspace) -> None:
    published(workspace, "taste.2", "A blend tastes of its main leaf.")
    found = [
        base_of(workspace, name, version) for name, version in ((NAME, 1), (NAME, 0), (NAME, 9), ("cake", 1))
    ]
    assert [base.version if base else None for base in found] == [1, 2, 2, None]


def test_yaml_cannot_bring_a_retired_id_back(workspace: Workspace) -> None:
    policy = workspace.store.policy(NAME)
    text = policy_text(policy).replace("taste.2", "taste.3").replace("retired:\n- taste.3", "retired: []")
    built = build(read_document(text.encode(), "x.yaml"), base=policy)
    assert [c.id for c in built.body.dimension("taste").clauses] == ["taste.1", "taste.2"], (
        "the text is the old one"
    )
    assert [(item.written, item.id) for item in built.renumbered] == [("taste.3", "taste.2")]


# Thirty pages, all the way


def test_thirty_pages_of_word_to_a_draft_and_out_again(workspace: Workspace, tmp_path: Path) -> None:
    document, words = thirty_pages()
    path = tmp_path / "policy.docx"
    document.save(path)
    read = read_document(path.read_bytes(), path.name)
    built = build(read, pair=LAYOUT)
    draft = start_imported_draft(workspace, built, name="job-match", title="From Word", author="Ida")
    body = workspace.store.draft(draft.id).body
    assert body.keys == KEYS
    for form, text in (("Markdown", to_markdown(body)), ("HTML", to_html(body))):
        assert words - set(re.findall(r"w\d+", text)) == set(), form
    # The Markdown comes in as the same draft, and so does a .docx file made of it.
    markdown = to_markdown(body)
    assert build(read_document(markdown.encode(), "x.md"), base=body).body == body
    assert build(read_document(word_file(markdown), "x.docx"), base=body).body == body
    # The original with one rule reworded is an edit of one rule, though it bears no ids.
    first = next(p for p in document.paragraphs if p.style.name == "List Number")
    first.runs[0].text = " ".join([*first.text.split()[:-5], "and", "nothing", "more"])
    document.save(path)
    again = build(read_document(path.read_bytes(), path.name), pair=LAYOUT, base=body)
    assert kinds(body, again.body) == [("reworded", "general.1")]

"""The command line: every command, exit codes, JSON, and what it says of wrong input."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import policy_samples
import psutil
import pytest
import typer
from workspace_samples import NAME, golden_set, pair, recorded_run, version

from workbench import cli
from workbench.documents import write_policy
from workbench.workspace import Workspace

TEAS = [pair(f"wish {i // 4}", f"tea {i}") for i in range(24)]
CSV = "wishes,title,taste,strength,labeler\nsmoky,Lapsang,2,1,ann\nsmoky,Sencha,0,n/a,ann\nmild,Sencha,2,1,ann\n"
RECIPE = """\
recipe: tiny
policy: tea-match
backbone: minilm
data: {golden: tea, soft_labels: null}
"""


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the entry point with arguments, in this process; the workspace is that of the test."""

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["workbench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return Done(int(code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def tea(workspace: Workspace) -> Iterator[Workspace]:
    """The golden set ``tea``, 24 labelled pairs, the last query in the holdout; policy versions 1 and 2."""
    workspace.store.add_policy(version(2, title="Second title"))
    write_policy(workspace.root / "policies", workspace.store.policy(NAME, 2))
    golden_set(
        workspace, [(p, {"taste": i % 3, "strength": i % 2}) for i, p in enumerate(TEAS)], holdout=TEAS[20:]
    )
    yield workspace
    for job in workspace.store.jobs(open_only=True):
        workspace.executor.stop(job.handle, kill=True)


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


# The whole


def test_there_are_the_commands_that_the_guide_speaks_of() -> None:
    assert {" ".join(words) for words, _ in commands()} >= {
        "app", "sync", "doctor", "compare", "train run", "train plan", "evaluate", "ledger", "policy list", "policy show", "policy diff", "policy lint",
        "policy export", "policy import", "policy drafts", "policy publish", "policy restore",
        "golden import", "golden list", "golden show", "golden publish", "judge run", "judge list", "judge show",
        "judge resume",
    }  # fmt: skip


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_every_command_has_json_and_help(run: Run, words: tuple[str, ...]) -> None:
    command = dict(commands())[words]
    assert "--json" in [option for parameter in command.params for option in parameter.opts]
    shown = run(*words, "--help")
    assert shown.code == 0
    assert " ".join(command.help.split()) in " ".join(shown.out.split())


@pytest.mark.parametrize("words", [(), ("policy",), ("golden",), ("judge",)])
def test_a_group_without_a_command_shows_its_help(run: Run, words: tuple[str, ...]) -> None:
    shown = run(*words)
    assert shown.code == 2
    assert "Commands:" in shown.out + shown.err


@pytest.mark.parametrize(
    "words", [("tea",), ("policy", "brew"), ("policy", "show"), ("compare", "a"), ("sync", "-x")]
)
def test_a_wrong_use_is_2(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: workbench")
    assert "Traceback" not in done.err
    as_json = run(*words, "--json")
    assert (as_json.code, as_json.err) == (2, "")
    assert sorted(as_json.data) == ["error", "hint"]
    # The same reason as on the last line of the text.
    assert done.err.splitlines()[-1] == f"Error: {as_json.data['error']}"


@pytest.mark.parametrize(
    "words",
    [
        ("policy", "show", "tea-mach"),
        ("golden", "show", "none"),
        ("judge", "show", "run-none"),
        ("judge", "run", "tea-match@x", "--judge", "baseline"),
        ("judge", "run", "tea-match", "--golden", "none"),
        ("judge", "run", "tea-match", "--judge", "gpt"),
        ("compare", "tea-match@1", "tea-match@2"),
        ("train", "none"),
        ("golden", "import", "none.csv"),
        ("policy", "lint", "none.yaml"),
        ("policy", "lint"),
        ("policy", "lint", "tea-match@9"),
        ("policy", "lint", "tea-match@1", "--version", "1"),
        ("policy", "lint", "none.yaml", "--file", "none.yaml"),
        ("policy", "lint", "--file", "none.docx"),
        ("policy", "lint", "--file", "."),
        ("policy", "show", "tea-match@²"),
        ("policy", "export", "none"),
        ("policy", "export", "tea-match", "-o", "."),
        ("policy", "drafts", "tea-mach"),
        ("policy", "publish", "draft-none", "-m", "Why"),
        ("policy", "publish", "", "-m", "Why"),
        ("policy", "restore", "tea-match"),
        ("policy", "restore", "tea-match@9"),
        ("policy", "restore", "tea-match@1"),
        ("policy", "import", "none.md", "--name", "x"),
    ],
)
def test_an_error_is_one_sentence_on_stderr_or_json_on_stdout(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", done.err)
    as_json = run(*words, "--json")
    assert as_json.code == 2
    assert sorted(as_json.data) == ["error", "hint"]
    assert f"error: {as_json.data['error']} {as_json.data['hint']}".strip() == done.err.strip()


def test_the_installed_program_does_the_same(workspace: Workspace, tmp_path: Path) -> None:
    # Once as a process of its own: exit code, streams, and another folder than the workspace's.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-c", "from workbench.cli import main; main()"]
    good = subprocess.run(
        [*command, "policy", "list", "--json"], capture_output=True, cwd=elsewhere, timeout=120
    )
    assert (good.returncode, json.loads(good.stdout)[0]["policy"]) == (0, NAME)
    bad = subprocess.run([*command, "policy", "show", "x"], capture_output=True, cwd=elsewhere, timeout=120)
    assert (bad.returncode, bad.stdout) == (2, b"")
    assert list(elsewhere.iterdir()) == []


def test_a_database_that_cannot_be_used_is_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATABASE_URL", "mysql://host/x")
    assert run("policy", "list").err.startswith("error: The workbench does not keep things in 'mysql'.")
    monkeypatch.setenv("WORKBENCH_DATABASE_URL", "")
    monkeypatch.setenv("WORKBENCH_EXECUTOR", "slurm")
    done = run("policy", "list")
    assert (done.code, "No executor is called 'slurm'" in done.err) == (2, True)


# Policies


def test_policy_list_and_show(run: Run, tea: Workspace) -> None:
    listed = run("policy", "list", "--json").data
    assert [(row["version"], row["dimensions"], row["clauses"]) for row in listed] == [(1, 2, 4), (2, 2, 4)]
    table = run("policy", "list").out.splitlines()
    assert table[0].split()[:2] == ["policy", "version"]
    assert len(table) == 3
    shown = run("policy", "show", NAME, "--version", 1)
    assert shown.out.startswith("# yaml-language-server")
    assert "Is this tea right for this guest?" in shown.out
    assert run("policy", "show", NAME, "--json").data["title"] == "Second title"
    missing = run("policy", "show", NAME, "--version", 9)
    assert (missing.code, missing.err) == (
        2,
        "error: Policy 'tea-match' has no version 9. There is: v1, v2.\n",
    )
    typo = run("policy", "show", "tea-mach")
    assert typo.err == "error: No policy is called 'tea-mach'. Did you mean tea-match?\n"


def test_policy_diff(run: Run, tea: Workspace) -> None:
    done = run("policy", "diff", NAME, 1, 2)
    assert done.out == "reworded  title\n    - Is this tea right for this guest?\n    + Second title\n"
    (change,) = run("policy", "diff", NAME, 1, 2, "--json").data
    assert (change["before"], change["after"]) == ("Is this tea right for this guest?", "Second title")
    assert run("policy", "diff", NAME, 1, 1).out == "tea-match v1 and v1 say the same.\n"
    assert run("policy", "diff", NAME, 1, 1, "--json").data == []


def test_policy_lint_is_1_when_there_is_an_error(run: Run, tmp_path: Path) -> None:
    good = run("policy", "lint", NAME)
    assert (good.code, good.out.splitlines()[-1].startswith("tea-match v1: ")) == (0, True)
    file = tmp_path / "bad.yaml"
    file.write_text(policy_samples.TEXT.replace("criteria: Nothing speaks against it.", "criteria: ''"))
    bad = run("policy", "lint", file)
    assert bad.code == 1
    assert "error: taste level 1 has no criteria, so nobody can tell when to give it." in bad.out
    found = run("policy", "lint", file, "--json")
    assert (found.code, found.data[0]["severity"]) == (1, "error")
    file.write_text(policy_samples.TEXT.replace("weight: 3", "weight: much"))
    broken = run("policy", "lint", file)
    line = 1 + policy_samples.TEXT[: policy_samples.TEXT.index("weight: 3")].count("\n")
    assert (broken.code, f"{file}, line {line} at dimensions[1].weight" in broken.err) == (2, True)


def test_policy_lint_of_a_version_and_of_a_file_as_its_edit(run: Run, tea: Workspace, tmp_path: Path) -> None:
    assert run("policy", "lint", f"{NAME}@1").out.splitlines()[-1].startswith("tea-match v1: ")
    assert run("policy", "lint", NAME).out.splitlines()[-1].startswith("tea-match v2: ")
    # The example of the first wish becomes one of the holdout's: only with the golden set is that known.
    held = TEAS[20]
    file = tmp_path / "edit.yaml"
    example = f"{{query: {{wishes: {held.query['wishes']}}}, document: {{title: {held.document['title']}}}}}"
    file.write_text(
        policy_samples.TEXT.replace("{query: {wishes: something smoky}, document: {title: Lapsang}}", example)
    )
    alone = run("policy", "lint", "--file", file)
    assert (alone.code, "holdout" in alone.out) == (0, False)
    assert alone.out.splitlines()[-1].startswith(f"{file}: ")
    as_edit = run("policy", "lint", NAME, "--file", file)
    assert (as_edit.code, "error: taste.p1" in as_edit.out, "holdout" in as_edit.out) == (1, True, True)
    assert as_edit.out.splitlines()[-1].startswith(f"{file} as an edit of tea-match v2: ")


def test_policy_lint_reads_what_import_reads(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "policy.md"
    file.write_text(
        "# Tea\n\n## Taste\n\n### Levels\n\n- 0 – Clash\n- 1 – Fits: Nothing speaks against it.\n"
    )
    done = run("policy", "lint", "--file", file, "--json")
    assert done.code == 1
    assert ("taste level 0", "error") in [(found["place"], found["severity"]) for found in done.data]
    file.with_suffix(".docx").write_bytes(b"PK no archive")
    assert "not a whole .docx file" in run("policy", "lint", "--file", file.with_suffix(".docx")).err


@pytest.mark.parametrize("form", ["yaml", "md", "html"])
def test_policy_export_prints_or_writes(run: Run, tea: Workspace, tmp_path: Path, form: str) -> None:
    text = run("policy", "export", f"{NAME}@1", "--format", form).out
    start = {"yaml": "# yaml-language-server", "md": "# Is this tea right", "html": "<!doctype html>"}[form]
    assert text.lower().startswith(start.lower())
    assert "Smoke counts as a taste." in text
    file = tmp_path / "out" / f"policy.{form}"
    done = run("policy", "export", f"{NAME}@1", "-o", file)  # the file's name says the format
    assert done.out == f"Wrote tea-match v1 to {file}.\n"
    assert file.read_text("utf-8") == text
    assert run("policy", "export", f"{NAME}@1", "-o", file, "--json").data == {
        "policy": NAME, "version": 1, "format": form, "file": str(file),
    }  # fmt: skip
    assert run("policy", "export", f"{NAME}@1", "--format", form, "--json").data["text"] == text
    assert run("policy", "export", NAME, "--json").data["version"] == 2
    assert run("policy", "export", NAME, "--format", "pdf").code == 2


def test_policy_restore_drafts_publish(run: Run, tea: Workspace) -> None:
    assert run("policy", "drafts").out.startswith("No drafts: begin one")
    assert run("policy", "drafts", NAME, "--json").data == []
    begun = run("policy", "restore", f"{NAME}@1", "--json").data
    assert (begun["policy"], begun["title"], begun["author"], begun["base_version"], begun["revision"]) == (
        NAME, "Back to v1", "Ida", 2, 1,
    )  # fmt: skip
    (listed,) = run("policy", "drafts", NAME, "--json").data
    assert (listed["draft"], listed["title"], listed["changes"]) == (begun["draft"], "Back to v1", 1)
    shown = run("policy", "drafts").out
    assert "T" not in shown.splitlines()[1].split()[-3]  # a date that people read
    assert begun["draft"] in shown
    again = run("policy", "restore", f"{NAME}@v1").out
    assert re.match(r"Began draft-\w+ of tea-match, from v2: Back to v1\n", again)
    other = re.findall(r"draft-\w+", again)[0]
    many = run("policy", "publish", "draft-", "-m", "Back")
    assert (many.code, "'draft-' is the start of 2 drafts" in many.err) == (2, True)
    assert "A version needs a message" in run("policy", "publish", other, "-m", " ").err
    # By the start of the id.
    done = run("policy", "publish", begun["draft"][:-2], "--message", "The old title.", "--json")
    assert (done.code, done.data["version"], done.data["parent"], done.data["message"]) == (
        0, 3, 2, "The old title.",
    )  # fmt: skip
    assert tea.store.policy(NAME).title == tea.store.policy(NAME, 1).title
    assert (tea.root / "policies" / NAME / "v3.yaml").exists()
    # The other one would say the same once more.
    same = run("policy", "publish", other, "-m", "Again")
    assert (same.code, "The draft says the same as tea-match v3" in same.err) == (2, True)
    assert [row["draft"] for row in run("policy", "drafts", "--json").data] == [other]


def test_policy_publish_does_not_settle_a_conflict(run: Run, tea: Workspace) -> None:
    from workbench import authoring, policy_edit

    drafts = [authoring.start_draft(tea, NAME, who) for who in ("Ida", "Bob")]
    for draft, text in zip(drafts, ("Smoke is a taste.", "Smoke is no taste."), strict=True):
        authoring.save(tea, draft, policy_edit.set_clause(draft.body, "taste.1", text), draft.author)
    assert run("policy", "publish", drafts[0].id, "-m", "Smoke.").out == "Published tea-match v3: Smoke.\n"
    clash = run("policy", "publish", drafts[1].id, "-m", "No smoke.", "--json")
    assert clash.code == 2
    assert "changed taste.1 otherwise" in clash.data["error"]
    assert clash.data["hint"] == "Open the draft on the Draft page and choose a text for each part."
    assert tea.store.policy(NAME).version == 3
    assert [draft.id for draft in tea.store.drafts(NAME)] == [drafts[1].id]


def test_policy_publish_refuses_what_lint_calls_an_error(run: Run, tea: Workspace) -> None:
    from workbench import authoring, policy_edit

    draft = authoring.start_draft(tea, NAME, "Ida")
    authoring.save(tea, draft, policy_edit.set_level(draft.body, "taste", 1, name="Fits", criteria=""), "Ida")
    done = run("policy", "publish", draft.id, "-m", "Shorter.")
    assert (done.code, "taste level 1 has no criteria" in done.err) == (2, True)
    assert tea.store.policy(NAME).version == 2


# Importing policies


def test_an_exported_policy_is_imported_as_an_edit(run: Run, tea: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "policy.md"
    run("policy", "export", NAME, "-o", file)
    same = run("policy", "import", file)
    assert (same.code, "The document says the same as tea-match v2" in same.err) == (2, True)
    file.write_text(
        file.read_text("utf-8").replace("Smoke counts as a taste.", "Smoke and salt count as tastes.")
    )
    tried = run("policy", "import", file, "--dry-run")
    assert tried.code == 0
    assert f"{file}: tea-match, an edit of tea-match v2" in tried.out
    # The sample: two dimensions; clauses general.1, taste.1, taste.2, strength.1; one precedent.
    assert "2 dimensions, 4 clauses, 1 precedents, 1 changes" in tried.out
    assert tea.store.drafts() == []
    done = run("policy", "import", file, "--title", "Salt", "--json")
    assert (done.code, done.data["policy"], done.data["title"], done.data["base_version"], done.data["changes"]) == (
        0, NAME, "Salt", 2, 1,
    )  # fmt: skip
    (draft,) = tea.store.drafts(NAME)
    assert draft.id == done.data["draft"]
    assert draft.body.dimension("taste").clauses[0].text == "Smoke and salt count as tastes."
    assert draft.body.dimension("taste").clauses[0].id == "taste.1"


def test_a_document_becomes_a_new_policy_through_a_mapping(run: Run, tea: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "guide.md"
    file.write_text("# Guide\n\nWhat we want.\n\n## Aroma\n\nHow does it smell?\n\n## House\n\n- Be kind.\n")
    nameless = run("policy", "import", file)
    assert (nameless.code, nameless.err) == (
        2, f"error: {file} does not say which policy it is. Add --name NAME.\n",
    )  # fmt: skip
    tried = run("policy", "import", file, "--name", "aroma", "--dry-run", "--json").data
    assert (tried["policy"], tried["base"]) == ("aroma", None)
    mapping = tried["mapping"]
    roles = {item["heading"]: item for item in mapping["headings"]}
    assert list(roles) == ["", "Guide", "Aroma", "House"]  # the first is for text before any heading
    roles["Aroma"] |= {"role": "dimension", "dimension": "smell"}
    roles["House"] |= {"role": "general", "dimension": ""}
    mapping["pair"] = {
        "query": {"name": "guest", "fields": ["nose"]},
        "document": {"name": "tea", "fields": ["leaf"]},
    }
    chosen = tmp_path / "mapping.json"
    chosen.write_text(json.dumps(mapping))
    done = run("policy", "import", file, "--name", "aroma", "--mapping", chosen)
    assert re.match(r"Began draft-\w+ of aroma, a new policy: guide\n", done.out)
    (draft,) = tea.store.drafts("aroma")
    assert draft.body.keys == ("smell",)
    assert [clause.text for clause in draft.body.general] == ["**House** Be kind."]  # the heading is not lost
    assert draft.body.pair.field_names() == ["guest.nose", "tea.leaf"]
    again = run("policy", "import", file, "--name", "aroma", "--mapping", chosen)
    assert (again.code, "Ida has begun a policy called 'aroma' already" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "headings: [{heading: Guide, role: titel}]",
            "map.yaml, line 1 at headings[1].role: Input should be",
        ),
        ("headings: [{heading: Other, role: title}]", "The mapping does not fit the headings of 'guide'"),
        ("- Guide", "map.yaml is not a document with keys."),
        ("headings: []\npair: {query: x}", "pair in"),
        ("headings: [", "map.yaml, line 1: not valid YAML"),
        ("", "map.yaml is empty."),
    ],
)
def test_a_wrong_mapping_is_a_sentence(
    run: Run, workspace: Workspace, tmp_path: Path, text: str, message: str
) -> None:
    file, mapping = tmp_path / "guide.md", tmp_path / "map.yaml"
    file.write_text("# Guide\n\nText.\n")
    mapping.write_text(text)
    done = run("policy", "import", file, "--name", "aroma", "--mapping", mapping)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert workspace.store.drafts() == []


def test_a_yaml_document_needs_no_mapping(run: Run, tea: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(policy_samples.TEXT.replace("Smoke counts as a taste.", "Ash counts as a taste."))
    refused = run("policy", "import", file, "--mapping", file)
    assert (refused.code, "is YAML, which needs no mapping" in refused.err) == (2, True)
    assert run("policy", "import", file, "--dry-run", "--json").data["mapping"] is None
    done = run("policy", "import", file, "--json").data
    # It says that it is version 1, so it is an edit of that one and is merged with version 2 on publishing.
    assert (done["policy"], done["base_version"], done["changes"]) == (NAME, 1, 1)
    assert run("policy", "publish", done["draft"], "-m", "Ash.").code == 0
    newest = tea.store.policy(NAME)
    assert (newest.version, newest.title) == (3, "Second title")
    assert newest.dimension("taste").clauses[0].text == "Ash counts as a taste."


# Golden sets: what files may be


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """A file whose columns bear the policy's names."""
    path = tmp_path / "teas.csv"
    path.write_text(CSV, encoding="utf-8")
    return path


def nothing_kept(workspace: Workspace) -> bool:
    return workspace.store.golden_names() == [] and not (workspace.root / "golden_sets").exists()


def test_a_dry_run_keeps_nothing(run: Run, workspace: Workspace, csv: Path) -> None:
    done = run("golden", "import", csv, "--policy", NAME, "--dry-run")
    assert done.code == 0
    assert done.out.splitlines() == [
        "teas (mapping: guessed from the column names): 3 pairs over 2 queries, 6 labels by 1 labelers",
        "Nothing was imported (dry run).",
    ]
    assert nothing_kept(workspace)


def test_a_guessed_import_twice_and_published(run: Run, workspace: Workspace, csv: Path) -> None:
    first = run("golden", "import", csv, "--policy", NAME, "--name", "my-teas", "--publish", "--json").data
    assert (first["golden"], first["pairs_added"], first["labels_added"], first["snapshot"]) == (
        "my-teas", 3, 6, "my-teas v1",
    )  # fmt: skip
    again = run("golden", "import", csv, "--policy", NAME, "--name", "my-teas", "--publish", "--json").data
    assert (again["pairs_added"], again["labels_added"], again["snapshot"]) == (0, 0, "")
    info = workspace.store.golden("my-teas")
    assert (info.pairs, info.labels, info.snapshots) == (3, 6, (1,))
    table = workspace.store.labels("my-teas")
    assert sorted(table.loc[table["dimension"] == "strength", "grade"]) == [-2, 1, 1]  # n/a is an answer


def test_a_mapping_of_its_own(run: Run, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.csv").write_text("a,b,c\nsmoky,Lapsang,good\nmild,Assam,bad\n")
    mapping = tmp_path / "map.yaml"
    mapping.write_text(
        "golden: mapped\npolicy: tea-match\npairs: {file: x.csv}\nquery: {wishes: a}\ndocument: {title: b}\n"
        "labels: [{long: {dimension: =taste, grade: c, labeler: =ann}, grades: {good: 2, bad: 0}}]\n"
    )
    done = run("golden", "import", tmp_path / "in", "--map", mapping, "--json")
    assert (done.code, done.data["mapping"], done.data["labels"]) == (0, "map.yaml", {"human": 2})
    assert sorted(workspace.store.labels("mapped")["grade"]) == [0, 2]
    # A folder does not say how its files fit together, and a mapping with an unknown key is no mapping.
    assert "Say how they fit together with --map FILE.yaml." in run("golden", "import", tmp_path / "in").err
    mapping.write_text(mapping.read_text() + "grade: x\n")
    assert (
        "map.yaml, line 7 at grade: this key is not known here"
        in run("golden", "import", tmp_path / "in", "--map", mapping).err
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "teas.csv is empty. It needs at least one row."),
        (b"wishes,title,taste,strength,labeler\n", "teas.csv has a header and no rows."),
        (CSV.replace("mild", "müd").encode("latin-1"), "teas.csv, row 4 (byte 83): not UTF-8 text."),
        (CSV.encode("utf-16"), "teas.csv is UTF-16, not CSV text."),
        (CSV.replace("Lapsang,2,", "Lapsang,3,").encode(), "row 2, column taste: '3' is outside the scale of taste, 0–2"),
        (CSV.replace("Lapsang,2,", "Lapsang,1.5,").encode(), "row 2, column taste: '1.5' is not a whole grade"),
        (CSV.replace("2,1,ann", "2,1,").encode(), "nobody is named"),
        (CSV.replace("mild,Sencha,2", "smoky,Sencha,2").encode(), "ann gives 2 here and 0 in row 3 on taste of the same"),
        (CSV.replace("labeler", "wishes").encode(), "column 'wishes' is there twice"),
        ((CSV + "mild,Assam,2\n").encode(), "row 5: has 3 values, the header has 5 columns"),
        ((CSV + 'mild,"Assam,2,1,ann\n').encode(), "row 5: quotes do not match"),
        (CSV.replace("mild", "mi\0ld").encode(), "row 4: holds a NUL character"),
        (CSV.replace("smoky,Sencha", ",Sencha").encode(), "row 3, column wishes: the query has no text"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_bad_file_is_a_sentence_with_its_row_and_nothing_is_kept(
    run: Run, workspace: Workspace, csv: Path, content: bytes, message: str
) -> None:
    csv.write_bytes(content)
    done = run("golden", "import", csv, "--policy", NAME, "--publish")
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert nothing_kept(workspace)


def test_an_unknown_dimension_names_the_nearest(run: Run, workspace: Workspace, csv: Path) -> None:
    csv.write_text("wishes,title,dimension,grade,labeler\nsmoky,Lapsang,tase,2,ann\nmild,Assam,taste,2,ann\n")
    done = run("golden", "import", csv, "--policy", NAME)
    assert (done.code, "row 2, column dimension: the policy has no dimension 'tase'" in done.err) == (2, True)
    assert "Did you mean taste?" in done.err
    assert nothing_kept(workspace)
    lenient = run("golden", "import", csv, "--policy", NAME, "--skip-bad-rows")
    assert (lenient.code, "left out: 1 rows: unknown dimension" in lenient.out) == (0, True)
    assert workspace.store.golden("teas").labels == 1


def test_rows_that_say_the_same_twice_are_one_label(run: Run, workspace: Workspace, csv: Path) -> None:
    csv.write_text(CSV + "smoky,Lapsang,2,1,ann\n")
    done = run("golden", "import", csv, "--policy", NAME, "--json").data
    assert (done["pairs"], done["merged_pairs"], done["duplicates"], done["labels_added"]) == (3, 1, 2, 6)


def test_a_file_of_200_megabytes_is_refused_by_its_size(run: Run, workspace: Workspace, csv: Path) -> None:
    with csv.open("r+b") as file:
        file.truncate(200 * 2**20)  # sparse: it takes no room on the disk
    process = psutil.Process()
    before = process.memory_info().rss
    done = run("golden", "import", csv, "--policy", NAME)
    assert done.err == (
        "error: teas.csv has 200.0 MB; a file may have 150.0 MB. Divide it, or leave out columns that are not needed.\n"
    )
    assert done.code == 2
    assert process.memory_info().rss - before < 100 * 2**20
    assert nothing_kept(workspace)


def test_an_import_without_a_policy_or_file_says_what_is_missing(run: Run, csv: Path) -> None:
    assert "Add --policy NAME, or --map FILE." in run("golden", "import", csv).err
    assert "No policy is called 'tea'" in run("golden", "import", csv, "--policy", "tea").err
    assert (
        "There is no file or folder" in run("golden", "import", csv.parent / "no.csv", "--policy", NAME).err
    )
    odd = csv.with_suffix(".docx")
    odd.write_bytes(b"x")
    assert "teas.docx is of an unknown format." in run("golden", "import", odd, "--policy", NAME).err


def test_golden_list_show_publish(run: Run, tea: Workspace) -> None:
    (row,) = run("golden", "list", "--json").data
    assert (row["name"], row["pairs"], row["labels"], row["labelers"], row["snapshots"]) == (
        "tea",
        24,
        48,
        1,
        [1],
    )
    shown = run("golden", "show", "tea", "--json").data
    # taste is i % 3 over 24 pairs: eight of each; strength is i % 2: twelve of each.
    assert [(r["dimension"], r["0"], r["1"], r["2"]) for r in shown["coverage"]] == [
        ("taste", 8, 8, 8), ("strength", 12, 12, 0),
    ]  # fmt: skip
    assert run("golden", "show", "tea").out.startswith("tea: 24 pairs, 6 queries, 48 labels by 1 labelers\n")
    same = run("golden", "publish", "tea", "-m", "Again")
    assert (same.code, "Nothing changed since tea v1" in same.err) == (2, True)
    from workspace_samples import label

    tea.store.add_labels("tea", [label(TEAS[0], "taste", 1, "bob")])
    assert "A snapshot needs a message" in run("golden", "publish", "tea").err
    done = run("golden", "publish", "tea", "-m", "Bob", "--json")
    assert done.data == {"name": "tea", "version": 2, "pairs": 24, "labels": 49}
    assert (tea.root / "golden_sets" / "tea" / "v2" / "README.md").exists()
    # Published or not, people are compared as soon as there are two.
    assert run("golden", "show", "tea", "--json").code == 0


# Sync


def test_sync_names_an_altered_file_and_is_1(run: Run, workspace: Workspace) -> None:
    done = run("sync")
    assert (done.code, done.out) == (0, "0 new, 1 known, 0 problems\n")
    path = workspace.root / "policies" / NAME / "v1.yaml"
    path.write_text(path.read_text("utf-8").replace("Smoke counts", "Ash counts"), encoding="utf-8")
    altered = run("sync")
    assert altered.code == 1
    assert f"problem: {path} was altered after it was published" in altered.err
    report = run("sync", "--json")
    assert (report.code, len(report.data["problems"]), report.data["unchanged"]) == (1, 1, 0)
    # Other commands that read the files tell it too, and go on with what was published.
    told = run("judge", "run", NAME, "--golden", "none")
    assert (told.code, str(path) in told.err) == (2, True)
    assert (
        run("policy", "show", NAME, "--json").data["dimensions"][0]["clauses"][0]["text"]
        == "Smoke counts as a taste."
    )


def test_sync_reads_new_files_once(run: Run, workspace: Workspace) -> None:
    write_policy(workspace.root / "policies", version(2, title="Second"))
    (workspace.root / "policies" / NAME / "v3.yaml").write_text("policy: [")
    done = run("sync", "--json")
    assert (done.code, done.data["added"], done.data["unchanged"]) == (1, ["policy tea-match v2"], 1)
    assert "v3.yaml, line 1: not valid YAML" in done.data["problems"][0]
    assert run("sync", "--json").data["added"] == []


# Judge runs


def test_a_run_is_started_waited_for_shown_and_compared(run: Run, tea: Workspace) -> None:
    arguments = ("judge", "run", "--golden", "tea", "--judge", "baseline-lexical")
    first = run(*arguments, f"{NAME}@1")
    assert first.code == 0
    assert re.search(r"^run-\S+: finished$", first.out, re.MULTILINE)
    second = run(*arguments, NAME, "--json").data
    assert (second["status"], second["policy_version"], second["totals"]["judgements"]) == ("finished", 2, 48)
    listed = run("judge", "list", "--json").data
    assert [(r["policy_version"], r["judge"]["name"]) for r in listed] == [
        (2, "baseline-lexical"), (1, "baseline-lexical"),
    ]  # fmt: skip
    assert len(run("judge", "list").out.splitlines()) == 3
    compared = run("compare", f"{NAME}@1", f"{NAME}@2", "--json").data
    assert [row["dimension"] for row in compared["dimensions"]] == ["taste", "strength", "overall"]
    assert compared["dimensions"][0]["n"] == 20
    assert set(compared["dimensions"][0]["B - A"]) == {"value", "low", "high", "reason"}


def test_showing_a_run_by_hand(run: Run, tea: Workspace) -> None:
    right = [(p, {"taste": i % 3, "strength": i % 2}) for i, p in enumerate(TEAS)]
    recorded_run(tea, "right", right)
    recorded_run(
        tea, "wrong", [(p, {"taste": 2 - i % 3, "strength": 1}) for i, p in enumerate(TEAS)], judge="w"
    )
    data = run("judge", "show", "run-r", "--json").data
    taste = data["agreement"][0]
    assert (taste["n"], taste["kappa"]["value"], taste["exact"]["value"], data["split"]) == (
        20,
        1.0,
        1.0,
        "dev",
    )
    table = run("judge", "show", f"{NAME}@1/w").out.splitlines()
    # Strength: always 1, right on half of the pairs, kappa 0.
    assert table[0].startswith(f"run-wrong  w · {NAME} v1  on tea v1 (dev)  finished")
    assert re.match(r"strength +20 +0 +0\.00 .* 0\.50 ", table[3])
    rows = run("compare", "run-wrong", "run-right", "--json").data["dimensions"]
    # Strength is wrong on the ten even ones of 20, all of them fixed: p = 2 / 2^10.
    assert (rows[1]["fixed"], rows[1]["broken"]) == (10, 0)
    assert "run-wrong" in run("compare", "run-wrong", "run-right").out


def test_a_look_at_the_holdout_is_told_and_counted(run: Run, tea: Workspace) -> None:
    recorded_run(tea, "a", [(p, {"taste": 1, "strength": 1}) for p in TEAS])
    first = run("judge", "show", "run-a", "--split", "holdout", "--json")
    assert first.data["agreement"][0]["n"] == 4
    assert first.err == "Looks at the holdout of tea so far, this one included: 1\n"
    second = run("compare", "run-a", "run-a", "--split", "all")
    assert (
        second.err == "Looks at the holdout of tea so far, this one included: 3\n"
    )  # a look at each of two runs
    assert tea.store.looks("tea")["place"].tolist() == ["command line"] * 3
    wrong = run("judge", "show", "run-a", "--split", "test")
    assert (wrong.code, wrong.err) == (2, "error: There is no split 'test'. It is dev, holdout or all.\n")
    assert len(tea.store.looks("tea")) == 3


def test_a_failed_run_is_1(run: Run, tea: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.fake_provider import FakeProvider, error

    monkeypatch.setenv("TEA_KEY", "sk-test-9876543210zyxwvutsrq")
    with FakeProvider(otherwise=error(401)) as provider:
        done = run(
            "judge", "run", NAME, "--golden", "tea", "--judge", "fake-hash-grader", "--base-url", provider.base_url,
            "--api-key-env", "TEA_KEY",
        )  # fmt: skip
    assert done.code == 1
    assert re.search(r"^run-\S+: failed – .*401", done.out, re.MULTILINE)
    assert "sk-test" not in done.out + done.err


def test_a_run_in_a_mode_stops_at_its_cap_and_goes_on_with_a_higher_one(run: Run, tea: Workspace) -> None:
    from workbench.fake_provider import FakeProvider

    with FakeProvider() as provider:
        capped = run(
            "judge", "run", NAME, "--golden", "tea", "--judge", "fake-hash-grader", "--base-url", provider.base_url,
            "--mode", "dimension", "--level-order", "descending", "--concurrency", 1, "--rpm", 100_000,
            "--tpm", 100_000_000, "--cap-tokens", 4000, "--json",
        )  # fmt: skip
        assert (capped.code, capped.data["status"]) == (1, "capped")
        assert "Stopped at the cap of 4,000 tokens" in capped.data["error"]
        assert 0 < provider.calls < 48
        payload = tea.store.job(f"job-{capped.data['id']}").spec.payload["judge"]
        assert (payload["requests_per_minute"], payload["tokens_per_minute"]) == (100_000, 100_000_000)
        done = run("judge", "resume", capped.data["id"], "--cap-tokens", 1_000_000, "--json")
        assert (done.code, done.data["status"]) == (0, "finished")
        # 24 pairs with two dimensions, each asked about once, whether before the cap or behind it.
        assert provider.calls == done.data["totals"]["calls"] == 48
    assert done.data["judge"]["params"]["mode"] == {"scope": "dimension", "level_order": "descending"}
    assert (done.data["totals"]["judgements"], done.data["totals"]["failed"]) == (48, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--judge", "baseline", "--mode", "dimension"), "This judge makes no calls."),
        (("--judge", "baseline", "--cap-seconds", 5), "This judge makes no calls."),
        (
            ("--judge", "o/m", "--pairs-per-call", 21),
            "The mode at pairs_per_call: Input should be less than or equal",
        ),
        (
            ("--judge", "o/m", "--mode", "dimension", "--dimension-order", "permuted"),
            "no order of dimensions",
        ),
        (("--judge", "o/m", "--rpm", 0), "The judge at requests_per_minute: Input should be greater"),
        (("--judge", "o/m", "--cap-usd", 1), "the price of o/m is not known"),
        (
            ("--judge", "openai/gpt-5-mini", "--base-url", "http://127.0.0.1:9/v1", "--cap-usd", 1),
            "the price of this server is not known",
        ),
    ],
)
def test_settings_that_cannot_be_kept_are_refused(
    run: Run, tea: Workspace, words: tuple[object, ...], said: str
) -> None:
    done = run("judge", "run", NAME, "--golden", "tea", *words)
    assert done.code == 2
    assert said in done.err
    assert not tea.store.runs()


def test_the_options_of_a_mode_are_those_that_a_mode_has() -> None:
    from typing import get_args, get_type_hints

    from workbench import cli_judge, prompt_mode

    options = get_type_hints(cli_judge.judge_run)
    for name, choices in (
        ("mode", prompt_mode.Scope),
        ("level_order", prompt_mode.LevelOrder),
        ("dimension_order", prompt_mode.DimensionOrder),
        ("reason", prompt_mode.Reason),
    ):
        assert get_args(options[name]) == get_args(choices)


def test_an_imported_run_cannot_be_resumed(run: Run, tea: Workspace) -> None:
    recorded_run(tea, "r", [(TEAS[0], {"taste": 1, "strength": 1})])
    done = run("judge", "resume", "run-r")
    assert (done.code, "was judged elsewhere" in done.err) == (2, True)


def test_a_run_need_not_be_waited_for(run: Run, tea: Workspace) -> None:
    done = run("judge", "run", NAME, "--golden", "tea", "--judge", "baseline-lexical", "--no-wait", "--json")
    assert (done.code, done.data["status"]) == (0, "queued")


# Training, doctor, app


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tinny",), "No recipe is called 'tinny'. Did you mean tiny?"),
        (("tiny", "--set", "schedule.epochs"), "--set schedule.epochs has no '='. Write it as field=value."),
        (("tiny", "--set", "schedule.epoch=2"), "No recipe field is called 'schedule.epoch'. Did you mean schedule.epochs"),
        (("tiny", "--set", "schedule.epochs=two"), "Recipe tiny at schedule.epochs: Input should be a valid integer"),
        (("tiny", "--set", "schedule.epochs=[2"), "--set schedule.epochs, line 1: not valid YAML"),
        (("tiny", "--set", "schedule.epochs="), "Recipe tiny at schedule.epochs: Input should be a valid integer"),
        (("tiny", "--set", "schedule.epochs=0"), "at schedule.epochs: Input should be greater than or equal to 1"),
        (("tiny", "--set", "seed.deep=1"), "No recipe field is called 'seed.deep'"),
        (("tiny", "--set", "data.golden_weight=0"), "Recipe tiny learns from nothing."),
        (("tiny", "--set", "data.golden=coffee"), "No golden set is called 'coffee'"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_or_change_is_a_sentence(
    run: Run, tea: Workspace, words: tuple[str, ...], message: str
) -> None:
    (tea.root / "students").mkdir()
    (tea.root / "students" / "tiny.yaml").write_text(RECIPE)
    done = run("train", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert (tea.store.jobs(), tea.store.runs()) == ([], [])


def test_doctor_says_what_there_is_and_never_a_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-9876543210zyxwvutsrq")
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    done = run("doctor", "--json")
    assert done.code == 0
    parts = {check["part"]: check for check in done.data}
    assert parts["OpenAI key"] == {
        "part": "OpenAI key",
        "ok": True,
        "state": "OPENAI_API_KEY is set",
        "needed": False,
    }
    assert (parts["Groq key"]["ok"], parts["database"]["ok"], parts["documents"]["ok"]) == (False, True, True)
    shown = run("doctor")
    assert "sk-test" not in done.out + shown.out
    monkeypatch.setenv("WORKBENCH_DATABASE_URL", "mysql://user:hunter2@host/x")
    broken = run("doctor", "--json")
    assert broken.code == 1
    assert "hunter2" not in broken.out


def test_doctor_is_1_where_there_are_no_documents(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path / "nothing"))
    assert run("doctor").code == 1


def test_app_on_a_taken_port_is_a_sentence(run: Run) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run("app", "--port", port, "--no-samples", "--json")
    assert done.code == 2
    assert done.data["error"] == f"Port {port} is taken."


def test_app_starts_streamlit_with_the_workspace(
    run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: dict[str, Any] = {}

    def pretend(command: list[str], **more: Any) -> Any:
        started.update(more, command=command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("workbench.serve.subprocess.run", pretend)
    write_policy(workspace.root / "policies", version(2, title="Second"))
    done = run("app", "--port", 48501, "--json")
    assert (done.code, done.data) == (0, {"address": "http://localhost:48501"})
    assert "read policy tea-match v2" in done.err
    assert started["command"][:4] == [sys.executable, "-m", "streamlit", "run"]
    assert "48501" in started["command"]
    assert started["env"]["WORKBENCH_ROOT"] == str(workspace.root)
    assert started["env"]["PATH"] == os.environ["PATH"]
    assert (workspace.root / "policies" / "policy.schema.json").exists()

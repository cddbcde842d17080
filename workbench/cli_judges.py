"""Commands about judges under names: adding one, trying it, putting it aside; and the judges of installed packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli_output import Json, print_json, show
from workbench.cli_workspace import opened

if TYPE_CHECKING:  # loaded by the commands that need them
    from workbench.judge_registry import TestOutcome
    from workbench.run import JudgeSpec

BaseUrl = Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")]
KeyVariable = Annotated[str | None, typer.Option(help="Environment variable that holds the key.")]


def judge_add(
    name: Annotated[str, typer.Argument(help="What the judge is to be called.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A model such as openai/gpt-5-mini, checkpoint:NAME, plugin:NAME or baseline-lexical."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="YAML file that describes the judge: any kind, with all its settings.")
    ] = None,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    test: Annotated[bool, typer.Option(help="Send one small question and say how that went.")] = True,
    as_json: Json = False,
) -> None:
    """Keep a judge under a name and send it a test call; 1 when it is kept and does not answer.

    With the name of a judge that is there, change what the name stands for.
    """
    from workbench import judge_registry
    from workbench.errors import Conflict, NotFound
    from workbench.judge_words import judge_words

    workspace = opened()
    spec = _described(model, file, base_url, api_key_env)
    who = workspace.settings.user
    try:
        before = workspace.store.judge(name)
    except NotFound:
        judge = judge_registry.add(workspace, name, spec, note, who)
    else:
        if before.retired_at is not None:
            raise Conflict(f"'{name}' is retired.", f"Restore it with: workbench judge retire {name} --undo.")
        judge = judge_registry.change(
            workspace, name, spec, note or before.note, who, revision=before.revision
        )
    outcome = judge_registry.test_saved(workspace, judge.name) if test else None
    if as_json:
        print_json(workspace.store.judge(judge.name).model_dump(mode="json"))
    else:
        verb = "added" if judge.revision == 1 else "changed"
        print(f"{verb} {judge.name}: {judge_words(judge.spec)}")
        if outcome:
            _tell(outcome)
    raise typer.Exit(1 if outcome and not outcome.works else 0)


def judge_test(
    judge: Annotated[
        str,
        typer.Argument(help="A saved judge, or a model such as openai/gpt-5-mini, plugin:NAME, baseline."),
    ],
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    as_json: Json = False,
) -> None:
    """Send a judge one small question and say how that went; 1 when it does not answer."""
    from workbench import judge_registry

    workspace = opened()
    if judge in workspace.store.judges():
        outcome = judge_registry.test_saved(workspace, judge)
    else:
        outcome = judge_registry.test_call(workspace, _described(judge, None, base_url, api_key_env))
    if as_json:
        print_json(outcome.model_dump(mode="json"))
    else:
        _tell(outcome)
    raise typer.Exit(0 if outcome.works else 1)


def judge_saved(
    retired: Annotated[bool, typer.Option("--retired", help="Also those that were put aside.")] = False,
    as_json: Json = False,
) -> None:
    """List the judges that are kept under names."""
    from workbench.judge_words import judge_words

    found = opened().store.judges(retired=retired).values()
    if as_json:
        print_json([judge.model_dump(mode="json") for judge in found])
        return
    rows = [
        {
            "name": judge.name,
            "kind": judge.spec.kind,
            "test call": _state(judge.tested),
            "by": judge.author,
            "retired": "yes" if judge.retired_at else "",
            "judge": judge_words(judge.spec) + (f" – {judge.note}" if judge.note else ""),
        }
        for judge in found
    ]
    show(rows, False, "No judges are saved yet: `workbench judge add NAME --model openai/gpt-5-mini`.")


def judge_retire(
    name: Annotated[str, typer.Argument(help="A saved judge.")],
    undo: Annotated[bool, typer.Option("--undo", help="Offer a retired judge again.")] = False,
    as_json: Json = False,
) -> None:
    """Put a saved judge aside: it is no longer offered; its name stays taken, and its runs stay."""
    from workbench import judge_registry

    workspace = opened()
    change = judge_registry.restore if undo else judge_registry.retire
    judge = change(workspace, name, workspace.settings.user)
    if as_json:
        print_json(judge.model_dump(mode="json"))
    else:
        print(f"{'restored' if undo else 'retired'} {judge.name}")


def judge_plugins(as_json: Json = False) -> None:
    """List the judges that installed packages offer; 1 when one of them cannot be loaded."""
    from workbench.judges.plugins import installed_plugins

    found = installed_plugins()
    rows: list[dict[str, Any]] = [
        {
            "plugin": plugin.name,
            "package": f"{plugin.package} {plugin.version}",
            "state": f"cannot be loaded: {plugin.problem}" if plugin.problem else plugin.summary or "–",
        }
        for plugin in found
    ]
    if as_json:
        print_json([plugin.model_dump() for plugin in found])
    else:
        show(rows, False, "No installed package offers a judge; docs/plugins.md says how one does.")
    raise typer.Exit(1 if any(plugin.problem for plugin in found) else 0)


def _described(
    model: str | None, file: Path | None, base_url: str | None, api_key_env: str | None
) -> JudgeSpec:
    from workbench.errors import BadInput
    from workbench.judge_choice import judge_from_file, judge_from_text

    if (model is None) == (file is None):
        raise BadInput("A judge is described by --model or by --file.", "Give one of the two.")
    if file is not None:
        if base_url or api_key_env:
            raise BadInput("The file says where the model is.", "Write base_url and api_key_env into it.")
        return judge_from_file(file)
    return judge_from_text(model or "", base_url=base_url, api_key_env=api_key_env)


def _state(tested: dict[str, Any] | None) -> str:
    if tested is None:
        return "never"
    return f"{'works' if tested['works'] else 'fails'} ({tested['at'][:10]})"


def _tell(outcome: TestOutcome) -> None:
    """Print how a test call went: the sentence, what the server says of itself, and the members by themselves."""
    print(f"{'works' if outcome.works else 'fails'}: {outcome.said} {outcome.hint}".rstrip())
    if outcome.model:
        told = [f"the server calls it {outcome.model}", f"form of the reply: {outcome.response_mode}"]
        if outcome.logprobs:
            told.append(f"log-probabilities: {outcome.logprobs}")
        print("  " + "; ".join(told))
    for member in outcome.members:
        print(f"  {member.judge} {'works' if member.works else 'fails'}: {member.said}")

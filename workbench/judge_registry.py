"""Verbs about judges that are kept under names: add, change, put aside, and try whether one works."""

from __future__ import annotations

import re

from workbench.doctor import PROVIDER_KEYS
from workbench.errors import BadInput
from workbench.identity import Value
from workbench.judge_choice import filled, models_of
from workbench.judge_test_call import TestOutcome as TestOutcome
from workbench.judge_test_call import leaves
from workbench.judge_test_call import test_call as test_call
from workbench.judges.keys import key_in, scrub
from workbench.judges.plugins import checked_plugin
from workbench.run import JudgeSpec, PluginSpec
from workbench.store.judges import StoredJudge
from workbench.workspace import Workspace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TAKEN = {"baseline", "baseline-lexical"}


class KeyState(Value):
    """Whether the environment variable of a key is set; the key itself is nowhere."""

    variable: str
    is_set: bool
    used_by: tuple[str, ...] = ()  # provider, or the saved judges that name the variable


def saved_judges(workspace: Workspace) -> dict[str, JudgeSpec]:
    """Return name -> judge of those that are offered."""
    return {name: judge.spec for name, judge in workspace.store.judges().items()}


def add(workspace: Workspace, name: str, spec: JudgeSpec, note: str, who: str) -> StoredJudge:
    """Keep a judge under a new name.

    Raises:
        BadInput: for a name or a judge that cannot be used, and where a key was given.
        Conflict: for a name that is taken.
        NotFound: for a checkpoint that does not exist.
    """
    name = _without_key(name, "name")
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"'{name[:80]}' cannot be the name of a judge.",
            "Use up to 64 letters, digits, dots, dashes and underscores; begin with a letter or a digit.",
        )
    if name.casefold() in _TAKEN:
        raise BadInput(f"'{name}' is the name of a judge that is always there.", "Take another name.")
    return workspace.store.save_judge(name, _checked(workspace, spec), _without_key(note, "note"), who)


def change(
    workspace: Workspace, name: str, spec: JudgeSpec, note: str, who: str, *, revision: int
) -> StoredJudge:
    """Change what a name stands for; runs of before keep what they ran.

    Args:
        revision: the one that was read.

    Raises:
        BadInput: for a judge that cannot be used, and where a key was given.
        Conflict: where somebody changed it meanwhile.
        NotFound: for a name or a checkpoint that does not exist.
    """
    return workspace.store.save_judge(
        name, _checked(workspace, spec), _without_key(note, "note"), who, revision
    )


def retire(workspace: Workspace, name: str, who: str) -> StoredJudge:
    """Put a judge aside; its name stays taken, and its runs stay.

    Raises:
        NotFound: for a name that does not exist.
    """
    return workspace.store.retire_judge(name, who)


def restore(workspace: Workspace, name: str, who: str) -> StoredJudge:
    """Offer a retired judge again.

    Raises:
        NotFound: for a name that does not exist.
    """
    return workspace.store.restore_judge(name, who)


def test_saved(workspace: Workspace, name: str) -> TestOutcome:
    """Send a saved judge its test call, and keep how it ended.

    Raises:
        NotFound: for a name that does not exist.
    """
    judge = workspace.store.judge(name)
    outcome = test_call(workspace, judge.spec)
    workspace.store.set_tested(name, outcome.model_dump(mode="json"), revision=judge.revision)
    return outcome


def provider_keys(workspace: Workspace) -> list[KeyState]:
    """Return which variables of keys are set: those of well-known providers, and those that saved judges name."""
    users: dict[str, list[str]] = {name: [provider] for provider, name in PROVIDER_KEYS.items()}
    for name, judge in workspace.store.judges().items():
        for variable in {model.api_key_env for model in models_of(judge.spec) if model.api_key_env}:
            users.setdefault(variable, []).append(name)
    return [
        KeyState(variable=variable, is_set=bool(key_in(variable)), used_by=tuple(used_by))
        for variable, used_by in users.items()
    ]


def _checked(workspace: Workspace, spec: JudgeSpec) -> JudgeSpec:
    found = filled(workspace, spec)
    for leaf in leaves(found):
        if isinstance(leaf, PluginSpec):
            checked_plugin(leaf)
    return found


def _without_key(text: str, what: str) -> str:
    if scrub(text) != text:
        raise BadInput(
            f"The {what} holds a key, and it is stored.",
            "Take it out; name its variable (api_key_env) instead.",
        )
    return text.strip()

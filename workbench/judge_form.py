"""The form that describes a judge: what is common first, the rest folded. Runs and Settings draw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from workbench import judge_registry, widgets
from workbench.identity import content_hash
from workbench.judge_words import judge_words
from workbench.judges.plugins import installed_plugins
from workbench.model_form import as_text, fill_model, from_text, language_model
from workbench.run import (
    BaselineSpec,
    CalibratedSpec,
    CascadeSpec,
    CheckpointSpec,
    EnsembleSpec,
    JudgeSpec,
    LlmSpec,
    PluginSpec,
)
from workbench.yamltext import validate

KINDS = {
    "baseline": "Baseline",
    "llm": "Language model",
    "checkpoint": "Checkpoint",
    "plugin": "Plugin",
    "saved": "Saved",
    "ensemble": "Ensemble",
    "cascade": "Cascade",
}
Members = Mapping[str, tuple[str, JudgeSpec]]
"""Id of a choice -> what it is called, and the judge."""


def judge_form(prefix: str = "", *, kinds: Sequence[str] = tuple(KINDS)) -> JudgeSpec | None:
    """Draw the choice of a judge and what belongs to it; None while something is missing.

    Args:
        prefix: begins the keys of all fields, so that a page can hold two such forms. Without one, the model is in
            the URL.
        kinds: what may be chosen; a kind of which there is nothing to choose is left out.

    Raises:
        BadInput: for values that do not go together.
    """
    members = _members(prefix)
    offered = [kind for kind in KINDS if kind in kinds and _is_there(kind, members)]
    kind = widgets.pick(
        st.segmented_control, "Judge", offered, format_func=KINDS.__getitem__, key=f"{prefix}judge"
    )
    draw = {
        "baseline": _baseline,
        "llm": language_model,
        "checkpoint": _checkpoint,
        "plugin": _plugin,
        "saved": _saved,
    }
    if kind == "ensemble":
        return _ensemble(prefix, members)
    if kind == "cascade":
        return _cascade(prefix, members)
    return _calibrated(prefix, draw[kind](prefix))


def fill(prefix: str, judge: JudgeSpec) -> None:
    """Put a judge into the fields of a form, from a callback; what it consists of can be chosen there again."""
    state = st.session_state
    if isinstance(judge, CalibratedSpec):
        fill(prefix, judge.judge)
        state[f"{prefix}calibrated"], state[f"{prefix}method"] = True, judge.method
        return
    state[f"{prefix}judge"] = judge.kind
    state[f"{prefix}calibrated"] = False
    if isinstance(judge, LlmSpec):
        fill_model(prefix, judge)
    elif isinstance(judge, BaselineSpec):
        state[f"{prefix}embeddings"] = judge.use_embeddings is not False
    elif isinstance(judge, CheckpointSpec):
        state[f"{prefix}checkpoint"] = judge.checkpoint
    elif isinstance(judge, PluginSpec):
        state[f"{prefix}plugin"] = judge.plugin
        state[f"{prefix}plugin_params"] = as_text(judge.params)
    elif isinstance(judge, EnsembleSpec):
        state[f"{prefix}_kept"] = judge.members
        ids = [_id(member) for member in judge.members]
        state[f"{prefix}members"], state[f"{prefix}ensemble_name"] = ids, judge.name
        for member, weight in zip(ids, judge.weights or (1.0,) * len(ids), strict=True):
            state[f"{prefix}weight:{member}"] = weight
    elif isinstance(judge, CascadeSpec):
        state[f"{prefix}_kept"] = (judge.first, judge.second)
        state[f"{prefix}first"], state[f"{prefix}second"] = _id(judge.first), _id(judge.second)
        state[f"{prefix}sure_at"] = judge.sure_at


def _is_there(kind: str, members: Members) -> bool:
    if kind == "plugin":
        return bool(_plugins())
    if kind == "saved":
        return bool(_saved_judges())
    return kind not in ("ensemble", "cascade") or len(members) > 1


def _baseline(prefix: str) -> JudgeSpec:
    st.session_state.setdefault(f"{prefix}embeddings", True)
    st.markdown(
        "Similarities between the two texts (word overlap and, where installed, MiniLM embeddings), calibrated on the "
        "dev labels. Reads no rule of the policy and needs no key: its agreement is what comes for free."
    )
    on = st.toggle("MiniLM embeddings, where installed", key=f"{prefix}embeddings")
    return BaselineSpec(use_embeddings=None if on else False)


def _checkpoint(prefix: str) -> JudgeSpec | None:
    found = {c.id: c for c in widgets.workspace().store.checkpoints()}
    if not found:
        widgets.empty("No checkpoints yet.", "Train a student on the Train page.")
        return None
    chosen = widgets.pick(
        st.selectbox,
        "Checkpoint",
        list(found),
        format_func=lambda name: f"{name} · {found[name].created_at:%d %b %H:%M}",
        key=f"{prefix}checkpoint",
    )
    record = found[chosen].record
    st.caption(
        f"Trained for {record['policy']} v{record['policy_version']} on dev labels of {record['lineage']['golden']}."
    )
    return CheckpointSpec(checkpoint=chosen)


def _plugin(prefix: str) -> JudgeSpec | None:
    """Draw the choice of an installed judge and what its factory is called with."""
    name = widgets.pick(st.selectbox, "Plugin", _plugins(), key=f"{prefix}plugin")
    st.caption("A judge from an installed package; its name and its parameters are kept with the run.")
    params = st.text_input("Parameters", key=f"{prefix}plugin_params", placeholder='{"name": "value"}')
    return PluginSpec(plugin=name, params=from_text(params, "Parameters"))


@st.cache_data(ttl=60, show_spinner=False)
def _plugins() -> list[str]:
    """Return the judges that installed packages offer; looking for them imports each package, so once a minute."""
    return [plugin.name for plugin in installed_plugins() if not plugin.problem]


def _saved(prefix: str) -> JudgeSpec | None:
    found = _saved_judges()
    name = widgets.pick(st.selectbox, "Saved judge", list(found), key=f"{prefix}saved")
    st.caption(judge_words(found[name]))
    return found[name]


def _saved_judges() -> dict[str, JudgeSpec]:
    return judge_registry.saved_judges(widgets.workspace())


def _calibrated(prefix: str, judge: JudgeSpec | None) -> JudgeSpec | None:
    """Draw whether the probabilities of a judge are calibrated; the baseline's are from the start."""
    if judge is None or not isinstance(judge, LlmSpec | CheckpointSpec | PluginSpec):
        return judge
    columns = st.columns([3, 1], vertical_alignment="center")
    on = columns[0].toggle(
        "Calibrate its probabilities on the dev labels",
        key=f"{prefix}calibrated",
        help="Its grades stay as they are; its probabilities are fitted to how often it was right. It needs "
        "probabilities: from log-probabilities or from several answers a question.",
    )
    if not on:
        return judge
    method = columns[1].selectbox(
        "Method", ["temperature", "isotonic"], key=f"{prefix}method", label_visibility="collapsed"
    )
    return validate(CalibratedSpec, {"judge": judge, "method": method}, "The judge")


def _id(judge: JudgeSpec) -> str:
    return content_hash("member", judge)


def _members(prefix: str) -> Members:
    """Return what an ensemble or a cascade can be made of."""
    kept = st.session_state.get(f"{prefix}_kept", ())
    found: dict[str, tuple[str, JudgeSpec]] = {_id(spec): (judge_words(spec), spec) for spec in kept}
    baseline = BaselineSpec()
    found[_id(baseline)] = ("baseline", baseline)
    for checkpoint in widgets.workspace().store.checkpoints():
        spec = CheckpointSpec(checkpoint=checkpoint.id)
        found[_id(spec)] = (f"checkpoint {checkpoint.id}", spec)
    for name, judge in _saved_judges().items():
        if not isinstance(judge, EnsembleSpec | CascadeSpec):
            found[_id(judge)] = (name, judge)
    return found


def _ensemble(prefix: str, members: Members) -> JudgeSpec | None:
    chosen = st.multiselect(
        "Members",
        list(members),
        format_func=lambda key: members[key][0],
        key=f"{prefix}members",
        max_selections=10,
        help="Saved judges, the baseline and checkpoints. A judge is saved in Settings.",
    )
    if len(chosen) < 2:
        st.caption("Choose at least two judges; they vote on each grade.")
        return None
    with st.expander("Weights and name", icon=":material/balance:"):
        name = st.text_input("Name", key=f"{prefix}ensemble_name", placeholder="its members' names")
        weights = []
        for column, key in zip(st.columns(len(chosen)), chosen, strict=True):
            st.session_state.setdefault(f"{prefix}weight:{key}", 1.0)
            weights.append(
                column.number_input(members[key][0], 0.01, 100.0, step=0.5, key=f"{prefix}weight:{key}")
            )
    alike = len(set(weights)) == 1
    given = {
        "name": name.strip(),
        "members": [members[key][1] for key in chosen],
        "weights": () if alike else tuple(weights),
    }
    return validate(EnsembleSpec, given, "The ensemble")


def _cascade(prefix: str, members: Members) -> JudgeSpec | None:
    columns = st.columns([3, 3, 2])
    options = list(members)
    first = columns[0].selectbox(
        "First, cheap", options, format_func=lambda key: members[key][0], key=f"{prefix}first"
    )
    second = columns[1].selectbox(
        "Second, where it is not sure",
        [key for key in options if key != first],
        format_func=lambda key: members[key][0],
        key=f"{prefix}second",
    )
    st.session_state.setdefault(f"{prefix}sure_at", CascadeSpec.model_fields["sure_at"].default)
    sure_at = columns[2].slider(
        "Sure from",
        0.3,
        1.0,
        step=0.05,
        key=f"{prefix}sure_at",
        help="The first judge's answer stands where the probability of its grade is at least this.",
    )
    given = {"first": members[first][1], "second": members[second][1], "sure_at": sure_at}
    return validate(CascadeSpec, given, "The cascade")

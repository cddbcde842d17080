"""A judge of somebody else's: an installed package offers it through an entry point (docs/plugins.md).

What a plugin answers comes from outside. Every verdict is read as strictly as a model's reply, so that a mistake of
the plugin becomes a failed judgement that says so, or the end of the run, and never a wrong grade or a broken file.
"""

from __future__ import annotations

import inspect
import json
import logging
import math
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from importlib import metadata
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from workbench.errors import BadInput, NotFound, Unavailable, WorkbenchError
from workbench.golden import Pair
from workbench.identity import Value, canonical_json, keepable
from workbench.judges.asking import KEPT_OF_REPLY
from workbench.judges.keys import one_line, refuse_secrets, scrub, secrets, without
from workbench.judges.members import failed
from workbench.policy import Dimension, Policy
from workbench.prompt_modes import joined
from workbench.run import Charged, Judge, JudgeIdentity, Judgement, PluginSpec, Usage, Verdict

GROUP = "policy_workbench.judges"
"""Entry point group in which a package names its judges."""

_SUM_TOLERANCE = 0.01
"""How far a plugin's probabilities may be from 1 in all: they may be rounded to two decimals."""
_TWICE = "the plugin graded this dimension twice"
_NOTHING = Usage(cost_usd=0.0)  # known, not a guess: the plugin said nothing about it
_log = logging.getLogger(__name__)


class _NoJudge(Exception):
    """What came from a plugin is not what a judge gives."""


class PluginInfo(Value):
    """A judge that an installed package offers. ``problem`` says why it cannot be loaded, "" where it can."""

    name: str
    package: str
    version: str
    summary: str = ""
    problem: str = ""


def installed_plugins() -> list[PluginInfo]:
    """Return the judges that installed packages offer, by name. Each package is imported for its summary."""
    found = []
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        package, version = _package(point)
        summary = problem = ""
        try:
            summary = _summary(point.load())
        except (Exception, SystemExit) as error:
            problem = _told(error)
        found.append(
            PluginInfo(name=point.name, package=package, version=version, summary=summary, problem=problem)
        )
    return found


def checked_plugin(spec: PluginSpec) -> PluginSpec:
    """Return ``spec`` as it may be kept with a run: its parameters hold no key.

    Raises:
        BadInput: where one of them is a key, or is called like one.
    """
    refuse_secrets(list(spec.params), json.dumps(spec.params, default=str))
    return spec


def plugin_judge(spec: PluginSpec) -> Judge:
    """Return the judge that an installed package offers under a name, its verdicts checked.

    Raises:
        NotFound: where no package offers it.
        BadInput: where two do, or the parameters do not fit its factory or hold a key.
        Unavailable: where its package fails, or what it makes is no judge; names the package and its version.
    """
    checked_plugin(spec)
    points = list(metadata.entry_points(group=GROUP, name=spec.plugin))
    if not points:
        raise NotFound.among("installed judge plugin", spec.plugin, metadata.entry_points(group=GROUP).names)
    if len(points) > 1:
        offered = " and ".join(" ".join(_package(point)) for point in points)
        raise BadInput(
            f"Several packages offer a judge '{spec.plugin}': {offered}.", "Uninstall all but one."
        )
    package, version = _package(points[0])
    source = f"{package} {version}"
    try:
        factory = points[0].load()
        _check_params(factory, spec, source)
        made = factory(**spec.params)
        identity: Any = getattr(made, "identity", None)
    except WorkbenchError as error:
        raise _scrubbed(error) from None
    except (Exception, SystemExit) as error:
        _log.warning("%s", scrub(traceback.format_exc()))
        raise Unavailable(
            f"The judge plugin '{spec.plugin}' ({source}) could not be started: {_told(error)}.",
            "Check its parameters; the log has the details.",
        ) from None
    if problem := _no_judge(made, identity):
        raise Unavailable(
            f"The judge plugin '{spec.plugin}' ({source}) is no judge: {problem}.",
            "Its authors find what a judge has to be in docs/plugins.md.",
        )
    return PluginJudge(made, identity, spec, package=package, version=version)


class PluginJudge:
    """A plugin's judge whose verdicts are checked; satisfies :class:`workbench.run.Judge`."""

    def __init__(
        self, judge: Judge, own: JudgeIdentity, spec: PluginSpec, *, package: str, version: str
    ) -> None:
        """Take the judge that a plugin made, and what it says it is.

        Raises:
            WorkbenchError: where its identity cannot be kept with a run.
        """
        self._judge = judge
        self._name, self._source = spec.plugin, f"{package} {version}"
        try:
            text = canonical_json(own.params)
        except ValueError as error:
            raise Unavailable(
                f"The judge plugin '{self._name}' ({self._source}) has an identity that is not JSON: {_told(error)}.",
                "Its authors have to put plain values into the params of its identity.",
            ) from None
        refuse_secrets(list(own.params), text)
        self.identity = JudgeIdentity(
            kind="plugin",
            name=spec.plugin,
            params={
                "package": package,
                "version": version,
                "params": spec.params,
                "judge": {"name": scrub(own.name), "params": json.loads(text)},
            },
        )

    def charge(self, usage: Usage) -> None:
        """Count against the plugin's caps what the run had spent before, where it has caps."""
        if isinstance(self._judge, Charged):
            self._judge.charge(usage)

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield one whole verdict a pair; what the plugin left out or got wrong is a failed judgement.

        Raises:
            CapReached: where the plugin says so.
            WorkbenchError: where the plugin fails; what had come was yielded before.
        """
        open_: dict[str, list[Verdict]] = {pair.id: [] for pair in pairs}
        reader = _Reader(policy)
        strangers = 0
        problem: WorkbenchError | None = None
        try:
            # What is graded already may be told before the plugin goes on: it is left at any yield.
            async with AsyncExitStack() as stack:
                async for item in await self._verdicts(policy, pairs, stack):
                    verdict = reader.read(item)
                    parts = open_.get(verdict.pair_id)
                    if parts is None:
                        strangers += 1  # a pair that nobody asked about, or one that is answered already
                        continue
                    parts.append(verdict)
                    if len({j.dimension for part in parts for j in part.judgements}) == len(policy.keys):
                        yield reader.whole(verdict.pair_id, open_.pop(verdict.pair_id))
        except WorkbenchError as error:
            problem = _scrubbed(error)
        except (Exception, SystemExit) as error:
            _log.warning("%s", scrub(traceback.format_exc()))
            done = len(pairs) - len(open_)
            problem = Unavailable(
                f"The judge plugin '{self._name}' ({self._source}) failed after {done} of {len(pairs)} pairs: "
                f"{_told(error)}.",
                "What had come is kept; the log has the details for its authors.",
            )
        if problem is not None:
            for pair_id, parts in open_.items():
                if parts:
                    yield reader.whole(pair_id, parts, problem.message)
            raise problem
        also = f"; it answered {strangers} times about pairs that it was not asked about" if strangers else ""
        for pair_id, parts in open_.items():
            yield reader.whole(
                pair_id, parts, "" if parts else f"the plugin gave no verdict about this pair{also}"
            )

    async def _verdicts(
        self, policy: Policy, pairs: Sequence[Pair], stack: AsyncExitStack
    ) -> AsyncIterator[Any]:
        found: Any = self._judge.grade(policy, pairs)
        if not hasattr(found, "__aiter__"):
            if inspect.iscoroutine(found):
                found.close()
            raise _NoJudge("its grade is no async generator (async def with yield)")
        if hasattr(found, "aclose"):
            await stack.enter_async_context(aclosing(found))
        verdicts: AsyncIterator[Any] = found.__aiter__()
        return verdicts


class _Reader:
    """Reads a plugin's verdicts under one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._citable = {clause.id for _, clause in policy.clauses()}
        self._citable |= {p.id for dimension in policy.dimensions for p in dimension.precedents}
        self._secrets = secrets()
        self._unknown: dict[str, list[str]] = {}

    def read(self, item: Any) -> Verdict:
        """Return the verdict with what cannot be used of it failed; unknown dimensions are left out.

        Raises:
            _NoJudge: for anything but a verdict.
        """
        if not (isinstance(item, Verdict) and isinstance(item.pair_id, str)):
            raise _NoJudge(f"it answered with a {type(item).__name__} and not with a Verdict")
        try:
            # Written and read again: what was made past the checks does not come through, and no key does.
            text = without(self._secrets, item.model_dump_json(warnings=False))
            verdict = Verdict.model_validate_json(text)
        except (ValidationError, PydanticSerializationError, ValueError) as error:
            reason = f"the plugin's verdict cannot be kept ({_first(error)})"
            judgements = tuple(failed(key, reason) for key in self._policy.keys)
            return Verdict(pair_id=keepable(item.pair_id), judgements=judgements)
        found: dict[str, Judgement] = {}
        for judgement in verdict.judgements:
            key = judgement.dimension
            if key not in self._policy.keys:
                self._unknown.setdefault(verdict.pair_id, []).append(key[:60])
            elif key in found:
                found[key] = failed(key, _TWICE)
            else:
                found[key] = self._judgement(self._policy.dimension(key), judgement)
        return verdict.model_copy(
            update={
                "judgements": tuple(found.values()),
                "usage": _usage(verdict.usage),
                "raw": keepable(verdict.raw[:KEPT_OF_REPLY]),
            }
        )

    def whole(self, pair_id: str, parts: Sequence[Verdict], reason: str = "") -> Verdict:
        """Return one verdict about a pair; the dimensions that are missing are failed for ``reason``."""
        unknown = self._unknown.pop(pair_id, [])
        if not reason:
            also = f", but about the unknown {', '.join(map(repr, unknown[:5]))}" if unknown else ""
            reason = f"the plugin gave no judgement about this dimension{also}"
        graded = [j.dimension for part in parts for j in part.judgements]
        missing = tuple(failed(key, reason) for key in self._policy.keys if key not in graded)
        rest = [Verdict(pair_id=pair_id, judgements=missing, usage=_NOTHING)] if missing or not parts else []
        verdict = joined(self._policy, [*parts, *rest])
        twice = {key for key in graded if graded.count(key) > 1}
        if not twice:
            return verdict
        judgements = tuple(
            failed(j.dimension, _TWICE) if j.dimension in twice else j for j in verdict.judgements
        )
        return verdict.model_copy(update={"judgements": judgements})

    def _judgement(self, dimension: Dimension, given: Judgement) -> Judgement:
        if given.failed:
            return failed(dimension.key, keepable(given.error) or "the plugin gave no grade and no reason")
        if problem := _problem(dimension, given):
            return failed(dimension.key, f"the plugin's answer does not fit the policy: {problem}")
        cites = tuple(cite for cite in given.cites if cite in self._citable)
        return given.model_copy(update={"rationale": keepable(given.rationale), "error": "", "cites": cites})


def _problem(dimension: Dimension, given: Judgement) -> str:
    """Return why a judgement cannot be used, "" where it can."""
    scale = dimension.scale
    if given.not_applicable:
        if not dimension.allow_na:
            return "the grade is N/A, which the dimension does not allow"
    elif given.grade not in scale:
        return f"grade {given.grade} is outside the scale {', '.join(map(str, scale))}"
    expected, probabilities = given.expected, given.probabilities
    if expected is not None and not (math.isfinite(expected) and min(scale) <= expected <= max(scale)):
        return f"the expected grade {expected:g} is outside the scale"
    if probabilities is None:
        return ""
    if len(probabilities) != len(scale):
        return f"there are {len(probabilities)} probabilities for {len(scale)} levels"
    if not all(0 <= p <= 1 for p in probabilities) or abs(sum(probabilities) - 1) > _SUM_TOLERANCE:
        return "its probabilities are not between 0 and 1, or do not sum to 1"
    return ""


def _usage(given: Usage) -> Usage:
    """Return what a call took; figures that cannot be are left out."""
    counts = ("calls", "input_tokens", "output_tokens", "cached_input_tokens")
    cost = given.cost_usd
    return given.model_copy(
        update={
            **{name: max(0, getattr(given, name)) for name in counts},
            "cost_usd": cost if cost is not None and math.isfinite(cost) and cost >= 0 else None,
            "latency_ms": given.latency_ms if 0 <= given.latency_ms < math.inf else 0.0,
        }
    )


def _no_judge(made: Any, identity: Any) -> str:
    if not isinstance(identity, JudgeIdentity):
        return f"its identity is a {type(identity).__name__} and not a JudgeIdentity"
    grade = getattr(made, "grade", None)
    if not callable(grade):
        return "it has no method grade"
    if inspect.iscoroutinefunction(grade) or inspect.isgeneratorfunction(grade):
        return "its grade is no async generator (async def with yield)"
    return ""


def _check_params(factory: Callable[..., Any], spec: PluginSpec, source: str) -> None:
    """Refuse parameters that the factory does not take, in words that say which ones it does."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return  # written in C, perhaps; calling it says what is wrong
    try:
        signature.bind(**spec.params)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "none"
        raise BadInput(
            f"The judge plugin '{spec.plugin}' ({source}) does not take these parameters: {error}.",
            f"It takes: {takes}.",
        ) from None


def _package(point: metadata.EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("unknown package", "")


def _summary(factory: Any) -> str:
    return (inspect.getdoc(factory) or "").strip().partition("\n")[0]


def _told(error: BaseException) -> str:
    if isinstance(error, _NoJudge):
        return one_line(str(error))
    return one_line(f"{type(error).__name__}: {error}".removesuffix(": ")).rstrip(".")


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    return one_line(str(error))


def _scrubbed(error: WorkbenchError) -> WorkbenchError:
    """Return the error without keys in its words; of the same kind, because a cap is another end than a failure."""
    message, hint = scrub(error.message), scrub(error.hint)
    if (message, hint) == (error.message, error.hint):
        return error
    return type(error)(message, hint)

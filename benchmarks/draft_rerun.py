"""A keystroke's rerun of the Draft page on a policy of 100 clauses: server time, against the page anybody would write.

The peer is the least that gives a live preview: a text area with the whole document and ``st.markdown`` below it. It
keeps nothing, compares nothing and checks nothing; the Draft page saves the edit (merged with what others saved),
lints, diffs and draws outline, preview and difference. Both run under Streamlit's own test runner in one process.

    python benchmarks/draft_rerun.py
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
EDITS = 40
BUDGET_MS = 200.0


def policy_of_100_clauses() -> str:
    """Return a published policy: 4 general rules and 8 dimensions of 12 clauses, some 60 words a clause."""
    from workbench.yamltext import dump

    words = [
        "a",
        "skill",
        "counts",
        "as",
        "evidenced",
        "when",
        "the",
        "field",
        "lists",
        "it",
        "by",
        "name",
        "or",
        "describes",
        "work",
        "in",
        "which",
        "it",
        "was",
        "used",
    ]

    def text(number: int) -> str:
        turned = words[number % len(words) :] + words[: number % len(words)]
        return f"Rule {number}: " + " ".join(turned * 3) + "."

    dimensions = [
        {
            "key": f"part{d}",
            "title": f"Part {d}",
            "question": f"How well does it do on part {d}?",
            "considers": ["member.headline", "job.title"],
            "levels": [
                {"value": v, "name": f"L{v}", "criteria": f"Seen {v} times in part {d}, {'more ' * v}"}
                for v in range(5)
            ],
            "clauses": [{"id": f"part{d}.{c}", "text": text(12 * d + c)} for c in range(1, 13)],
        }
        for d in range(8)
    ]
    return dump(
        {
            "policy": "large",
            "version": 1,
            "title": "A large policy",
            "pair": {
                "query": {"name": "member", "fields": ["headline"]},
                "document": {"name": "job", "fields": ["title"]},
            },
            "general": [{"id": f"general.{i}", "text": text(i)} for i in range(1, 5)],
            "dimensions": dimensions,
            "overall": {"combine": "weighted_mean", "cut_points": [0.8, 1.6, 2.4, 3.2]},
        }
    )


def plain_page() -> None:
    """The peer: the whole document in a text area, and its preview."""
    import streamlit as st

    text = st.text_area("Policy", st.session_state.get("start", ""), key="text")
    st.markdown(text)


def milliseconds(edit: Callable[[int], None]) -> list[float]:
    """Return how long each of ``EDITS`` edits took, after two that warm up."""
    took = []
    for i in range(EDITS + 2):
        started = time.perf_counter()
        edit(i)
        took.append((time.perf_counter() - started) * 1000)
    return took[2:]


def main() -> None:
    """Measure both and print the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, value in {"ROOT": root, "HOME": root / "var", "DATABASE_URL": "", "USER": "ada"}.items():
            os.environ[f"WORKBENCH_{name}"] = str(value)
        (root / "policies" / "large").mkdir(parents=True)
        text = policy_of_100_clauses()
        (root / "policies" / "large" / "v1.yaml").write_text(text, encoding="utf-8")

        from streamlit.testing.v1 import AppTest

        from workbench import authoring
        from workbench.documents import sync
        from workbench.workspace import open_workspace

        space = open_workspace()
        sync(space.root, space.store)
        draft = authoring.start_draft(space, "large", "ada")
        assert sum(1 for _ in draft.body.clauses()) == 100
        ours: dict[str, list[float]] = {}
        for side in ("Diff", "Lint", "Prompt"):
            page = AppTest.from_file(str(ROOT / "workbench" / "pages" / "draft.py"), default_timeout=60)
            page.query_params.update({"draft": draft.id, "part": "part3", "item": "part3.5", "side": side})
            page.run()
            key = f"f:{draft.id}:part3.5"

            def edit(i: int, page: AppTest = page, key: str = key) -> None:
                page.text_area(key=key).input(f"Rule: a certificate counts{' too' * i}.").run()

            ours[side] = milliseconds(edit)
            assert not page.exception
            assert not page.error
        kept = space.store.draft(draft.id).body.dimension("part3").clauses[4].text
        assert kept.startswith("Rule: a certificate counts too too")
        peer_page = AppTest.from_function(plain_page, default_timeout=60)
        peer_page.session_state["start"] = text
        peer_page.run()
        peer = milliseconds(lambda i: peer_page.text_area(key="text").input(text + " too" * i).run() and None)
        space.store.close()
    base = statistics.median(peer)
    print(f"policy of 100 clauses, {len(text):,} characters; {EDITS} edits each, one process")
    print(f"{'':34}{'median':>10}{'p95':>10}{'ratio':>8}")
    print(f"{'text area and preview (peer)':34}{base:>8.0f}ms{_p95(peer):>8.0f}ms{1:>8.1f}")
    for side, took in ours.items():
        name = f"Draft page, {side} beside"
        print(
            f"{name:34}{statistics.median(took):>8.0f}ms{_p95(took):>8.0f}ms{statistics.median(took) / base:>8.1f}"
        )
    worst = max(statistics.median(took) for took in ours.values())
    print(f"budget {BUDGET_MS:.0f} ms: {'kept' if worst < BUDGET_MS else 'MISSED'} ({worst:.0f} ms)")


def _p95(took: list[float]) -> float:
    return sorted(took)[int(0.95 * len(took))]


if __name__ == "__main__":
    main()

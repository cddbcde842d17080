"""The pairs of a job read as they are needed: what a list of them would say, without holding one."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from judges.judge_samples import pairs

from workbench.errors import BadInput, NotFound
from workbench.golden import Pair, Split
from workbench.grading import read_inputs, read_pairs
from workbench.pair_file import PairFile, PairSubset, write_pairs


def splits_of(given: list[Pair]) -> dict[str, Split]:
    """Every third pair is in the holdout."""
    return {pair.id: "holdout" if i % 3 == 0 else "dev" for i, pair in enumerate(given)}


def written(path: Path, given: list[Pair]) -> PairFile:
    write_pairs(path, given, splits_of(given))
    return PairFile(path)


def test_a_file_of_pairs_is_a_sequence_of_them(tmp_path: Path) -> None:
    given = pairs(4_000)
    given[7] = Pair(
        query={"text": "Löß \u2028 漢"}, document={"title": '"}\n', "body": ""}, meta={"kind": "odd"}
    )
    file = written(tmp_path / "pairs.jsonl", given)
    assert len(file) == 4_000
    assert list(file) == given
    assert list(file) == given  # a second pass begins anew
    assert [file[i] for i in (0, 7, 3_999, -1, -4_000)] == [given[i] for i in (0, 7, 3_999, -1, 0)]
    assert file[7].meta == {"kind": "odd"}
    assert file[5:12:2] == given[5:12:2]
    assert file[3_990:5_000] == given[3_990:]
    assert file[::-1999] == given[::-1999]
    for beyond in (4_000, -4_001):
        with pytest.raises(IndexError):
            file[beyond]
    assert dict(file.splits) == splits_of(given)
    assert len(file.splits) == 4_000
    assert list(read_pairs(tmp_path)) == list(zip(given, splits_of(given).values(), strict=True))


def test_a_subset_is_in_order_and_reads_only_what_is_asked(tmp_path: Path) -> None:
    given = pairs(20)
    file = written(tmp_path / "pairs.jsonl", given)
    odd = PairSubset(file, (i % 2 == 1 for i in range(20)))
    assert len(odd) == 10
    assert list(odd) == list(odd) == given[1::2]
    assert (odd[0], odd[-1], odd[3:5]) == (given[1], given[19], [given[7], given[9]])
    with pytest.raises(IndexError):
        odd[10]
    none = PairSubset(file, [False] * 20)
    assert (len(none), list(none)) == (0, [])
    assert list(PairSubset(given, [True] * 20)) == given  # of any sequence, a tuple or a list too


def test_reading_pairs_holds_none_of_them(tmp_path: Path) -> None:
    """Peak of a pass over 20,000 pairs, of which half are chosen.

    Offsets and places are 8 bytes each: 20,001 + 10,000 of them are 240 KB; an array that grows has up to an eighth
    more and is copied at times, so at most 2 * 9/8 * 240 KB = 540 KB. The 20,000 marks are 20 KB. The buffer of the
    file (128 KB at most) and one pair with its line (some KB) come to it: below 1 MB. One Pair takes more than 1 KB
    (two dicts of 184 bytes and more, their texts, the model's own dict and sets), so 20,000 of them more than 20 MB.
    """
    lines = (
        json.dumps({"query": {"text": f"question {i}"}, "document": {"title": f"Page {i}"}, "split": "dev"})
        + "\n"
        for i in range(20_000)
    )
    (tmp_path / "pairs.jsonl").write_text("".join(lines), encoding="utf-8")
    next(iter(PairFile(tmp_path / "pairs.jsonl")))  # what the first one loads is not what is measured
    tracemalloc.start()
    try:
        file = PairFile(tmp_path / "pairs.jsonl")
        count = sum(1 for _ in file) + sum(1 for _ in PairSubset(file, (i % 2 == 0 for i in range(20_000))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 30_000
    assert peak < 1_000_000


def test_nothing_of_a_folder_but_its_policy_is_read_before_it_is_needed(tmp_path: Path) -> None:
    from policy_samples import TEXT

    (tmp_path / "policy.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "pairs.jsonl").write_text("no pair\n", encoding="utf-8")
    inputs = read_inputs(tmp_path)
    assert (inputs.policy.name, len(inputs.pairs)) == ("tea-match", 1)
    with pytest.raises(BadInput, match="it is no pair with a split"):
        list(inputs.pairs)
    with pytest.raises(BadInput, match="it is no pair with a split"):
        len(inputs.splits)
    with pytest.raises(NotFound, match=r"There is no file .*labels\.parquet"):
        _ = inputs.labels
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(BadInput, match=r"labels\.parquet is no table of labels"):
        _ = inputs.labels


FINE = '{"query":{"text":"q"},"document":{"title":"t"},"meta":{},"split":"dev"}\n'


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("no JSON\n", "line 2: it is no pair with a split"),
        ("\n", "line 2: it is no pair with a split"),
        ("[]\n", "line 2: it is no pair with a split"),
        ('{"query":{},"document":{}}\n', "line 2: it is no pair with a split"),
        ('{"query":{},"document":{},"split":"test"}\n', "line 2: it is no pair with a split"),
        ('{"query":{},"document":{},"split":["dev"]}\n', "line 2: it is no pair with a split"),
        ('{"query":{"text":3},"document":{},"split":"dev"}\n', r"line 2 at query\.text: .*\(it is 3\)"),
        ('{"query":{},"split":"dev"}\n', "line 2 at document: Field required"),
        ('{"query":{},"document":{},"split":"dev","grade":4}\n', "line 2 at grade: this key is not known"),
    ],
)
def test_a_spoilt_line_is_named_where_it_is_reached(tmp_path: Path, second: str, message: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(FINE + second, encoding="utf-8")
    file = PairFile(path)
    assert file[0].query == {"text": "q"}
    for read in (lambda: file[1], lambda: file[0:2], lambda: list(file), lambda: dict(file.splits)):
        with pytest.raises(BadInput, match=rf"pairs\.jsonl, {message}"):
            read()


def test_a_file_that_is_cut_short_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    for end in range(1, len(FINE)):
        path.write_text(FINE + FINE[:end], encoding="utf-8")
        with pytest.raises(BadInput, match=r"pairs\.jsonl, line 2: it is cut short"):
            PairFile(path)
    path.write_text("", encoding="utf-8")
    assert (len(PairFile(path)), list(PairFile(path))) == (0, [])
    path.unlink()
    with pytest.raises(NotFound, match=r"There is no file .*pairs\.jsonl"):
        PairFile(path)
    path.mkdir()
    with pytest.raises(BadInput, match="cannot be read"):
        PairFile(path)

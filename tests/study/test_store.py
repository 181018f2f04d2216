from __future__ import annotations

import json
from pathlib import Path

import pytest
from sampled import Walk

from flowprune.study import Store, StoreError, StoreWarning, collect


def published(home: Path, count: int = 5) -> tuple[list[Walk], Path]:
    trials = [Walk(seed=seed) for seed in range(count)]
    collect(trials)
    return trials, Store.open().publish(trials)


def test_published_rows_are_sorted_compact_and_do_not_change(home: Path) -> None:
    trials, file = published(home)
    assert file == home / "data" / "trials" / "walk.jsonl"
    lines = file.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["key"] for row in rows] == sorted(trial.key for trial in trials)
    assert lines == [json.dumps(row, sort_keys=True, separators=(",", ":")) for row in rows]
    before = file.read_bytes()
    Store.open().publish(reversed(trials))
    assert file.read_bytes() == before
    assert Store.open().rows("walk") == [row | {"file": "walk.jsonl", "source": "published"} for row in rows]
    assert Store.open().rows("other") == []


def test_published_and_local_rows_give_the_same_numbers(home: Path) -> None:
    trials, _ = published(home)
    from_text = collect(trials)
    local = collect(trials, store=Store(home / ".flowprune" / "trials.sqlite", None))
    assert set(from_text.source) == {"published"} and set(local.source) == {"local"}
    columns = [name for name in local.columns if name != "source"]
    assert from_text[columns].equals(local[columns])


def test_publishing_what_was_not_run(home: Path) -> None:
    with pytest.raises(StoreError, match="1 of 1 trials have no row yet"):
        Store.open().publish([Walk(seed=1)])


def test_damaged_rows_are_reported_with_their_line_and_skipped(home: Path) -> None:
    trials, file = published(home)
    lines = file.read_bytes().splitlines(keepends=True)
    keys = [json.loads(line)["key"] for line in lines]
    lines[1] = b"{nonsense\n"
    lines[2] = lines[2].replace(b'"status":"done"', b'"status":"good"')
    lines[4] = lines[4][: len(lines[4]) // 2]  # a truncated file
    file.write_bytes(b"".join([*lines[:3], lines[0], *lines[3:], b'\n["no", "row"]\n\xff\xfe\n']))
    store = Store.open()
    assert [problem.split(": ")[0] for problem in store.problems] == [
        f"trials/walk.jsonl:{line}" for line in (2, 3, 4, 6, 7, 8)
    ]
    assert f"key {keys[0]} was published before" in store.problems[2]
    assert set(store.published) == {keys[0], keys[3]}
    with pytest.warns(StoreWarning) as told:
        table = collect(trials)
    assert [str(warning.message) for warning in told] == store.problems
    assert table.status.tolist() == ["done"] * 5  # the local store still has the others


def test_rows_of_another_version_are_ignored_and_counted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials, _ = published(home)
    monkeypatch.setattr(Walk, "version", 2)
    with pytest.warns(StoreWarning, match="5 published rows of 'walk' are of version 1, not 2: ignored"):
        table = collect(trials)
    assert set(table.source) == {"local"}


@pytest.mark.parametrize("damage", ["text", "header"])
def test_a_damaged_local_store_is_named_and_published_rows_stay_readable(home: Path, damage: str) -> None:
    trials, _ = published(home)
    file = home / ".flowprune" / "trials.sqlite"
    for extra in ("-wal", "-shm"):
        file.with_name(file.name + extra).unlink(missing_ok=True)
    whole = file.read_bytes()
    file.write_bytes(
        b"not a database" * 1000 if damage == "text" else whole[:100] + b"\xff" * (len(whole) - 100)
    )
    assert set(collect(trials).source) == {"published"}
    with pytest.raises(
        StoreError, match=r"trials.sqlite cannot be used .*Move it away.* published rows stay"
    ) as e:
        collect([*trials, Walk(seed=99)])
    assert "\n" not in str(e.value)


def test_a_done_row_is_not_replaced_by_a_failed_one(home: Path) -> None:
    walk, store = Walk(seed=1), Store.open()
    collect([walk])
    row = store.get([walk.key])[walk.key]
    store.save(row | {"status": "failed", "result": {}})
    assert store.get([walk.key])[walk.key] == row


def test_claims_keep_two_stores_from_the_same_trial(home: Path) -> None:
    one, two = Store.open(), Store.open()
    with one.working():
        assert one.claim(["a", "b"]) == ({"a", "b"}, {})
        with two.working():
            assert two.claim(["b", "c"]) == ({"c"}, {})
    with two.working():
        assert two.claim(["a", "b"]) == ({"a", "b"}, {})  # the first has ended
    assert list((home / ".flowprune" / "running").iterdir()) == []

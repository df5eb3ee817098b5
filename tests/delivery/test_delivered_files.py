"""JSON lines and Parquet: whole lines, whole files, nothing twice though the process was killed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest
from pretend_server import PretendServer, caught_up, folded, standing, until

from propense.delivery import Deliveries, Destination, destination_from
from propense.delivery.json_lines import JsonLinesSink
from propense.delivery.parquet_files import ParquetSink
from propense.delivery.sink import Item, SinkUnavailableError

SEGMENTS = ("at_risk", "vip")


def lines(path: Path, **options: object) -> Destination:
    values = {"name": "lines", "kind": "jsonl", "segments": SEGMENTS, "path": path}
    return destination_from(values | options, "test")


def files(path: Path, **options: object) -> Destination:
    values = {"name": "files", "kind": "parquet", "segments": SEGMENTS, "path": path}
    return destination_from(values | {"seconds": 0.2} | options, "test")


@pytest.fixture
def server() -> PretendServer:
    made = PretendServer()
    made.wander(400, 30, (*SEGMENTS, "other"), seed=7)
    return made


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_lines_say_all_there_is_to_say(server: PretendServer, tmp_path: Path) -> None:
    path = tmp_path / "out" / "moves.jsonl"
    server.move('ü"\u2028\n\0', "vip")
    with Deliveries([lines(path)], server, tmp_path):
        until(lambda: caught_up(tmp_path, "lines", server))
    wanted = [one for one in server.transitions if one.segment in SEGMENTS]
    assert read_lines(path) == [
        {
            "number": one.number,
            "user_id": one.user_id,
            "segment": one.segment,
            "transition": one.kind,
            "time": one.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "cause": one.cause,
        }
        for one in wanted
    ]
    assert path.read_bytes().isascii()


def test_a_torn_line_is_cut_and_written_again(server: PretendServer, tmp_path: Path) -> None:
    path = tmp_path / "moves.jsonl"
    items = [Item(one) for one in server.transitions[:50]]
    sink = JsonLinesSink(lines(path), "")  # type: ignore[arg-type]
    sink.deliver(items)
    whole = path.read_bytes()
    for cut in (1, 2, 30, len(whole) // 2, len(whole) - 1, len(whole)):
        path.write_bytes(whole[:-cut])
        numbers = [item.number for item in items]
        there = sink.written(numbers)
        sink.deliver([item for item in items if item.number not in there])
        assert path.read_bytes() == whole


def test_a_long_torn_line_is_cut_whole(server: PretendServer, tmp_path: Path) -> None:
    path = tmp_path / "moves.jsonl"
    path.write_bytes(b"{}\n" + b"x" * 200_000)
    JsonLinesSink(lines(path), "").deliver([Item(server.transitions[0])])  # type: ignore[arg-type]
    assert len(read_lines(path)) == 2


def test_a_file_that_is_moved_away_grows_anew(server: PretendServer, tmp_path: Path) -> None:
    path = tmp_path / "moves.jsonl"
    with Deliveries([lines(path)], server, tmp_path):
        until(lambda: caught_up(tmp_path, "lines", server))
        path.rename(tmp_path / "older.jsonl")
        server.wander(50, 30, SEGMENTS, seed=8)
        until(lambda: caught_up(tmp_path, "lines", server))
    both = read_lines(tmp_path / "older.jsonl") + read_lines(path)
    assert [row["number"] for row in both] == [
        one.number for one in server.transitions if one.segment in SEGMENTS
    ]


def test_a_place_that_cannot_be_written_is_waited_for(
    server: PretendServer, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder is needed")
    destinations = [lines(blocked / "moves.jsonl"), files(tmp_path / "files")]
    with Deliveries(destinations, server, tmp_path):
        until(lambda: caught_up(tmp_path, "files", server))
        until(lambda: standing(tmp_path, "lines").get("last_error"))
        assert "cannot be written" in str(standing(tmp_path, "lines")["last_error"])
        blocked.unlink()
        until(lambda: caught_up(tmp_path, "lines", server))
    assert len(read_lines(blocked / "moves.jsonl")) == standing(tmp_path, "lines")["delivered"]


def test_a_full_disk_leaves_whole_lines(
    server: PretendServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, room = tmp_path / "moves.jsonl", 1_000
    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(28, "No space left on device")
        done = write(descriptor, bytes(content)[:room])
        room -= done
        return done

    sink = JsonLinesSink(lines(path), "")  # type: ignore[arg-type]
    sink.deliver([Item(server.transitions[0])])
    whole = path.read_bytes()
    monkeypatch.setattr("propense.delivery.json_lines.os.write", full)
    with pytest.raises(SinkUnavailableError, match="No space left"):
        sink.deliver([Item(one) for one in server.transitions[1:100]])
    assert path.read_bytes() == whole


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_no_fault_of_the_items_of_a_parquet_file(
    server: PretendServer, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    aside = folder / ".aside.parquet"
    aside.symlink_to("/dev/full")
    with Deliveries([files(folder)], server, tmp_path):
        until(lambda: standing(tmp_path, "files").get("last_error"))
        said = f"{folder} cannot be written: No space left on device"
        assert standing(tmp_path, "files")["last_error"] == said
        aside.unlink()
        until(lambda: caught_up(tmp_path, "files", server))
    assert standing(tmp_path, "files")["failures"] == 0
    assert len(list(folder.glob("0*.parquet"))) == 1


def test_parquet_files_hold_so_many_or_so_long(server: PretendServer, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    with Deliveries([files(folder, rows=100)], server, tmp_path):
        until(lambda: caught_up(tmp_path, "files", server))
    heights = [pl.read_parquet(path).height for path in sorted(folder.iterdir())]
    wanted = [one for one in server.transitions if one.segment in SEGMENTS]
    assert sum(heights) == len(wanted)
    assert heights[:-1] == [100] * (len(heights) - 1)
    frame = pl.concat([pl.read_parquet(path) for path in sorted(folder.iterdir())])
    assert frame["number"].to_list() == [one.number for one in wanted]
    moves = list(zip(frame["user_id"], frame["segment"], frame["transition"], strict=True))
    assert folded(moves) == {name: server.inside(name) for name in SEGMENTS}
    assert frame.schema["time"] == pl.Datetime("us", "UTC")


def test_a_parquet_file_whose_news_was_lost_is_not_written_again(
    server: PretendServer, tmp_path: Path
) -> None:
    sink = ParquetSink(files(tmp_path / "files"), "")  # type: ignore[arg-type]
    items = [Item(one) for one in server.transitions[:20]]
    sink.deliver(items[:15])
    assert sink.written([item.number for item in items]) == {item.number for item in items[:15]}
    (tmp_path / "files" / ".aside.parquet").write_bytes(b"PAR1 half")
    assert len(sink.written([item.number for item in items])) == 15
    sink.deliver(items[:15])
    assert len(list((tmp_path / "files").glob("0*.parquet"))) == 2

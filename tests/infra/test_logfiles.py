"""Logs that stay below a size, with a few older ones."""

from pathlib import Path

from infra.logfiles import KEPT, rotate


def test_nothing_happens_to_a_log_when_it_is_small_or_missing(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    assert not rotate(log, limit_bytes=4)
    log.write_text("1234")
    assert not rotate(log, limit_bytes=4)
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.log"]


def test_the_newest_logs_are_kept_in_order_when_a_log_is_rotated_often(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    for number in range(KEPT + 2):
        log.write_text(f"line {number}")
        assert rotate(log, limit_bytes=4)
        assert log.read_text() == ""
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "gateway.log": "",
        "gateway.log.1": "line 4",
        "gateway.log.2": "line 3",
        "gateway.log.3": "line 2",
    }


def test_a_writer_goes_on_at_the_beginning_when_its_log_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    with log.open("a") as writer:
        print("before", file=writer, flush=True)
        rotate(log, limit_bytes=1)
        print("after", file=writer, flush=True)
    assert (log.read_text(), (tmp_path / "gateway.log.1").read_text()) == ("after\n", "before\n")

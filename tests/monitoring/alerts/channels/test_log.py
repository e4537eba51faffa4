import json
import logging
from datetime import UTC, datetime

import pytest

from monitoring.alerts import Alert, DeliveryError, open_channel

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ALERT = Alert("k", "i", "opened", "Title", "two\nlines", "warning", "x", None, None, NOW)


def test_file_gets_one_line_an_alert(tmp_path):
    path = tmp_path / "deeper" / "alerts.jsonl"
    channel = open_channel("log", {"path": path})
    channel.send(ALERT)
    channel.send(ALERT)
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [ALERT.document()] * 2


def test_logger_gets_the_line_when_there_is_no_path(caplog):
    with caplog.at_level(logging.WARNING, logger="everfeed.alerts"):
        open_channel("log", {}).send(ALERT)
    assert json.loads(caplog.messages[0].removeprefix("alert ")) == ALERT.document()


def test_failure_is_retryable_when_the_path_cannot_be_written(tmp_path):
    with pytest.raises(DeliveryError, match="cannot append to") as caught:
        open_channel("log", {"path": tmp_path}).send(ALERT)
    assert caught.value.is_retryable

"""The unit for systemd, as systemd itself reads it."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent.parent / "infra" / "deploy" / "systemd" / "everfeed.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit_when_its_program_is_there(tmp_path: Path) -> None:
    program = tmp_path / "everfeed"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = UNIT.read_text()
    assert "Type=notify" in text
    copied = tmp_path / "everfeed.service"
    copied.write_text(text.replace("/opt/everfeed/bin/everfeed", str(program)))
    ended = subprocess.run(
        ("systemd-analyze", "verify", "--man=no", str(copied)), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "everfeed.service" in ended.stderr) == (0, False), ended.stderr

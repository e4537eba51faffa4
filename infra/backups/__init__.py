"""Backups of a home: every store at one moment, each content kept once, and a manifest that is written last."""

from infra.backups.backup import Backup, back_up
from infra.backups.manifest import Manifest, read_manifest
from infra.backups.restore import Restored, check, restore

__all__ = ["Backup", "Manifest", "Restored", "back_up", "check", "read_manifest", "restore"]

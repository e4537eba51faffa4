"""What of a home nobody needs any more: found with a reason for everything that goes or stays, and removed."""

from infra.garbage.finding import Finding
from infra.garbage.needs import Needs, read_needs
from infra.garbage.removal import Removed, remove
from infra.garbage.survey import find

__all__ = ["Finding", "Needs", "Removed", "find", "read_needs", "remove"]

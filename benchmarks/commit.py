"""Which code a figure is of."""

import subprocess


def commit_of_tree(*without: str) -> str:
    """Return the checked-out commit, with ``+`` where tracked files differ from it.

    Args:
        without: Folders whose files do not count, such as that of the results themselves.
    """

    def git(*arguments: str) -> str:
        return subprocess.run(("git", *arguments), capture_output=True, text=True, check=True).stdout.strip()

    places = [".", *(f":!{folder}" for folder in without)]
    is_changed = git("status", "--porcelain", "--untracked-files=no", "--", *places)
    return git("rev-parse", "--short", "HEAD") + ("+" if is_changed else "")

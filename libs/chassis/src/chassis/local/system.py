"""Where this machine keeps the servers' programs, which user each runs as, and directories they can reach."""

import hashlib
import os
import pwd
import re
import shutil
from pathlib import Path

from chassis.local.processes import StartError

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


PLAIN = re.compile(r"[\w ./@+,:=~()&-]*", re.ASCII)
"""Paths that every server's configuration can hold."""
LINKED_FROM = "linked-from"


class MissingProgram(StartError):
    """A server's program is not installed."""


def program(*names: str) -> str:
    """The path of the first of `names` that is installed. Raises MissingProgram."""
    for name in names:
        if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"):
            return found
    raise MissingProgram(f"{' or '.join(names)} is not installed")


def postgres_program(name: str) -> str:
    """A program of the newest PostgreSQL; Debian keeps them off the PATH. Raises MissingProgram."""
    found = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(found, key=lambda path: int(re.sub(r"\D", "", path.parts[4]) or 0), default=None)
    return str(newest) if newest else program(name)


def rabbitmq_program(name: str) -> str:
    """A program of RabbitMQ itself: Debian's PATH holds wrappers that fix user, home and log.

    Raises MissingProgram.
    """
    direct = Path("/usr/lib/rabbitmq/bin", name)
    return str(direct) if direct.exists() else program(name)


def run_as(user: str) -> str | None:
    """The unprivileged user for a server: `user` or `nobody` when we are root, otherwise None (ourselves)."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(user).pw_name
    except KeyError:
        return "nobody"


def environment() -> dict[str, str]:
    """The whole environment that a server gets, before its own settings."""
    return {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def own(directory: Path, user: str | None) -> None:
    """Make `directory`, private to `user`."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    _give(directory, user)


def write(path: Path, text: str, user: str | None, mode: int = 0o600) -> None:
    """Replace a file that `user` alone may read; never readable by others in between."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    _give(path, user)


def make_passable(directory: Path) -> None:
    """Make `directory` and what is missing above it; whatever root's umask, the servers' users may pass."""
    for each in (*reversed(directory.absolute().parents), directory):
        if not each.exists():
            each.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                each.chmod(each.stat().st_mode | 0o111)


def reachable(base: Path) -> Path:
    """Where servers' data go: `base`, or a directory under /var/tmp when they cannot be told of `base` or get there.

    A quotation mark or an umlaut is too much for the configuration of some; and as root, with a clone in a private
    home directory, their users cannot pass. `make_reachable` makes it, and a link from `base`: that holds when the
    clone is moved. In a copy of a clone that is still there, the link is not ours.
    """
    base = base.absolute()
    if base.is_symlink() and not _is_copy(base):
        return base.parent / base.readlink()
    if PLAIN.fullmatch(str(base)) and not (os.geteuid() == 0 and _barrier(base)):
        return base
    return Path("/var/tmp", f"stores-{hashlib.sha256(str(base).encode()).hexdigest()[:12]}")


def make_reachable(base: Path) -> None:
    """Make the directory that `reachable` names; where it is not `base`, `base` becomes a link to it.

    Raises StartError if someone else made the directory under /var/tmp, or if `base` holds data behind a directory that
    was closed since.
    """
    make_passable(base.parent)
    found = reachable(base)
    if found != base.absolute() and base.is_dir() and not base.is_symlink():
        hint = f"let them pass: chmod o+x '{_barrier(base)}'" if _barrier(base) else "move the clone where it was"
        raise StartError(f"The servers do not get at the data in {base} any more; {hint}")
    found.mkdir(exist_ok=True)
    if found.is_symlink() or found.stat().st_uid != os.geteuid():
        raise StartError(f"{found} belongs to somebody else; remove it")
    if os.geteuid() == 0:
        found.chmod(0o711)
    if found != base.absolute():
        if not base.is_symlink() or _is_copy(base):
            base.unlink(missing_ok=True)
            base.symlink_to(found)
        write(found / LINKED_FROM, str(base.absolute()), user=None)


def _is_copy(base: Path) -> bool:
    """Whether `base` links to what another link, which is still there, was made for."""
    try:
        original = Path((base / LINKED_FROM).read_text())
        return original != base.absolute() and original.readlink() == base.readlink()
    except OSError:
        return False


def _barrier(base: Path) -> Path | None:
    """The first directory on the way to `base` that only its owner may pass."""
    way = reversed(base.absolute().parents)
    return next((each for each in way if each.exists() and not each.stat().st_mode & 0o001), None)


def _give(path: Path, user: str | None) -> None:
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)

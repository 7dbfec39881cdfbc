"""Finds the servers' programs on this machine, the users that they run as, and directories that they can reach."""

import hashlib
import os
import pwd
import re
import shutil
from pathlib import Path

from chassis.local.processes import StartError

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


PLAIN = re.compile(r"[\w ./@+,:=~()&-]*", re.ASCII)
"""Paths that the configuration of every server can contain."""
LINKED_FROM = "linked-from"


class MissingProgram(StartError):
    """A server's program is not installed."""


def program(*names: str) -> str:
    """Returns the path of the first of `names` that is installed. Raises MissingProgram."""
    for name in names:
        if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"):
            return found
    raise MissingProgram(f"{' or '.join(names)} is not installed")


def postgres_program(name: str) -> str:
    """Returns a program of the newest PostgreSQL; in Debian they are not on the PATH. Raises MissingProgram."""
    found = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(found, key=lambda path: int(re.sub(r"\D", "", path.parts[4]) or 0), default=None)
    return str(newest) if newest else program(name)


def rabbitmq_program(name: str) -> str:
    """Returns a program of RabbitMQ itself. Debian's PATH has wrappers instead, which set user, home and log.

    Raises MissingProgram.
    """
    direct = Path("/usr/lib/rabbitmq/bin", name)
    return str(direct) if direct.exists() else program(name)


def store_program(name: str) -> str:
    """Returns a program of any of the stores; `valkey-cli` may be Redis's. Raises MissingProgram."""
    match name:
        case "psql":
            return postgres_program(name)
        case "rabbitmqctl":
            return rabbitmq_program(name)
        case _:
            return program(name, name.replace("valkey", "redis"))


def run_as(user: str) -> str | None:
    """Returns the unprivileged user for a server: `user` or `nobody` for root, otherwise None (the current user)."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(user).pw_name
    except KeyError:
        return "nobody"


def environment() -> dict[str, str]:
    """Returns the whole environment of a server, before its own settings."""
    return {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def own(directory: Path, user: str | None) -> None:
    """Creates `directory`, private to `user`."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    _give(directory, user)


def write(path: Path, text: str, user: str | None, mode: int = 0o600) -> None:
    """Replaces a file that only `user` may read. Nobody else can read it at any moment."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    _give(path, user)


def make_passable(directory: Path) -> None:
    """Creates `directory` and its parents, which the servers' users can enter even if root has a strict umask."""
    for each in (*reversed(directory.absolute().parents), directory):
        if not each.exists():
            each.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                each.chmod(each.stat().st_mode | 0o111)


def reachable(base: Path) -> Path:
    """Returns where servers keep their data: `base`, or a directory under /var/tmp if they cannot use `base`.

    The configuration of some servers cannot contain a quotation mark or an umlaut. And when root runs the shop from a
    private home directory, the servers' users have no permission to enter it. `make_reachable` creates the directory
    and a link to it at `base`, which stays valid when the clone is moved. If the clone was copied, the link still
    belongs to the original clone.
    """
    base = base.absolute()
    if base.is_symlink() and not _is_copy(base):
        return base.parent / base.readlink()
    if PLAIN.fullmatch(str(base)) and not (os.geteuid() == 0 and _barrier(base)):
        return base
    return Path("/var/tmp", f"stores-{hashlib.sha256(str(base).encode()).hexdigest()[:12]}")


def make_reachable(base: Path) -> None:
    """Creates the directory that `reachable` returns; if that is not `base`, `base` becomes a link to it.

    Raises StartError if the directory under /var/tmp belongs to another user, or if `base` holds data and one of its
    parents has been closed to the servers' users.
    """
    make_passable(base.parent)
    found = reachable(base)
    if found != base.absolute() and base.is_dir() and not base.is_symlink():
        hint = (
            f"let their users pass: chmod o+x '{_barrier(base)}'"
            if _barrier(base)
            else "move the clone back to where it was"
        )
        raise StartError(f"The servers can no longer reach the data in {base}; {hint}")
    found.mkdir(exist_ok=True)
    if found.is_symlink() or found.stat().st_uid != os.geteuid():
        raise StartError(f"{found} belongs to another user; remove it")
    if os.geteuid() == 0:
        found.chmod(0o711)
    if found != base.absolute():
        if not base.is_symlink() or _is_copy(base):
            base.unlink(missing_ok=True)
            base.symlink_to(found)
        write(found / LINKED_FROM, str(base.absolute()), user=None)


def _is_copy(base: Path) -> bool:
    """Returns whether `base` is a copy of another link that still exists."""
    try:
        original = Path((base / LINKED_FROM).read_text())
        return original != base.absolute() and original.readlink() == base.readlink()
    except OSError:
        return False


def _barrier(base: Path) -> Path | None:
    """Returns the first parent of `base` that other users may not enter."""
    way = reversed(base.absolute().parents)
    return next((each for each in way if each.exists() and not each.stat().st_mode & 0o001), None)


def _give(path: Path, user: str | None) -> None:
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)

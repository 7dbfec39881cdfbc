"""Makes a service from `tools/template`: services/NAME with its tests, and charts/NAME.

    tools/new_service.py NAME

`make new-service NAME=reviews` runs it, and installs the service afterwards.
"""

import importlib.util
import keyword
import re
import subprocess
import sys
from itertools import count
from pathlib import Path

from copier import run_copy

from shopctl.place import Place
from shopctl.services import RESERVED

ROOT = Path(__file__).resolve().parents[1]
PLACE = Place(ROOT, ROOT / ".run")
FIRST_PORT = 8001


def objection(name: str) -> str | None:
    """Returns why a service cannot have this name, or None if it can."""
    if not re.fullmatch("[a-z][a-z0-9]{1,30}", name):
        return "a name has 2 to 31 lower-case letters and digits, and begins with a letter"
    if keyword.iskeyword(name):
        return "this is a keyword of Python; choose another name"
    if name in taken():
        return "this name is taken; choose another one"
    if importlib.util.find_spec(name):
        return "there is a Python module of this name; choose another one"
    return None


def taken() -> set[str]:
    """Returns the names of services and charts, of paths at the edge, and of what else has a name."""
    folders = {path.name for pattern in ("services/*", "charts/*") for path in ROOT.glob(pattern)}
    paths = {part for each in PLACE.services for route in each.routes for part in route.split("/")}
    return RESERVED | folders | paths


def free_port() -> int:
    return next(port for port in count(FIRST_PORT) if port not in PLACE.ports.values())


def make(name: str) -> None:
    """Renders the template, sorts the imports, whose order depends on the name, and writes the derived files."""
    run_copy(str(ROOT / "tools/template"), ROOT, data={"name": name, "port": free_port()}, quiet=True)
    python, service = sys.executable, f"services/{name}"
    for command in (
        [python, "-m", "ruff", "check", "--quiet", "--fix", service],
        [python, "-m", "ruff", "format", "--quiet", service],
        [python, "-m", "shopctl", "derive"],
        [python, "tools/chart_values.py"],
    ):
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def main() -> None:
    name = "".join(sys.argv[1:2])
    if not name:
        sys.exit("Name the service: make new-service NAME=reviews")
    sys.path += [str(ROOT / "tests"), str(ROOT / "tests/cluster")]  # where pytest finds modules, too
    if why := objection(name):
        sys.exit(f"{name}: {why}")
    make(name)
    print(f"Made services/{name} and charts/{name}.")


if __name__ == "__main__":
    main()

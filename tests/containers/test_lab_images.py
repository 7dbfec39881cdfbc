"""The grader of lab 1 takes each right image, and finds what is wrong with another; each one here is small and real."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from shopctl.labs import Missing
from shopctl.labs.graders import lab01
from shopctl.place import Place

pytestmark = pytest.mark.timeout(180)

Build = Callable[..., None]
KEY = "the-key-of-our-package-index"
PSP = """
import http.server, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("", 8000), Answer).serve_forever()
"""
BASE = "FROM python:3.13-slim-trixie"
SERVICE = f"""
{BASE}
COPY psp /app/psp
CMD ["python", "/app/psp/main.py"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the learner builds: a service, 2 MB of packages, and the key."""
    monkeypatch.setattr(Place, "here", lambda: Place(tmp_path, tmp_path, 0))
    folder = tmp_path / "lab01"
    (folder / "psp").mkdir(parents=True)
    (folder / "psp/main.py").write_text(PSP)
    (folder / "packages").write_bytes(bytes(2_000_000))
    (folder / "secret.key").write_text(f"{KEY}\n")
    return folder


@pytest.fixture
def build(docker, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """Builds the learner's image from this Dockerfile."""
    image = "tests/lab01:mine"
    monkeypatch.setattr(lab01, "IMAGE", image)
    monkeypatch.setattr(lab01, "AGAIN", "tests/lab01:again")
    monkeypatch.setattr(lab01, "CHANGED", "tests/lab01:changed")

    def build(dockerfile: str, *options: str) -> None:
        (folder / "Dockerfile").write_text(dockerfile)
        key = ("--secret", f"id=key,src={folder / 'secret.key'}")
        docker("build", "--quiet", "--tag", image, *key, *options, str(folder))

    yield build
    lab01.tried.cache_clear()
    with suppress(AssertionError):
        docker("rmi", "--force", image)


# --- who may change the code -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "USER 65532",
        "RUN cp -R /app /opt/mine && chmod 1777 /opt\nUSER 65532",
        "RUN rm /usr/bin/find /usr/bin/id /bin/sh\nUSER 65532",
        'RUN python -m venv --copies /venv\nENV PATH=/bin\nCMD ["/venv/bin/python", "/app/psp/main.py"]\nUSER 65532',
        'ENTRYPOINT ["setpriv", "--reuid=65532", "--regid=65532", "--clear-groups"]',
    ],
    ids=["number", "others' folder is sticky", "no tools", "venv not on PATH", "entrypoint changes the user"],
)  # fmt: skip
def test_a_process_that_cannot_change_its_code_is_right(build: Build, line: str) -> None:
    build(SERVICE + line)
    lab01.is_unprivileged()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", "`python /app/psp/main.py` runs as root"),
        ("RUN chown 65532 /app/psp/main.py\nUSER 65532", "may write /app/psp/main.py$"),
        ("RUN chown 65532 /app/psp\nUSER 65532", "may write /app/psp, and so change /app/psp/main.py"),
        ("RUN chown 65532 /app\nUSER 65532", "may write /app, and so change /app/psp/main.py"),
        ("RUN chmod g+w /app\nUSER 65532:0", "may write /app, and so change /app/psp/main.py"),
        ("RUN python -m venv /home/me/venv && chown 65532 /home/me\nUSER 65532", "may write /home/me, and so change"),
        (
            'ENTRYPOINT ["sh", "-c", "chown 65532 /app && exec setpriv --reuid=65532 --clear-groups \\"$@\\"", "-"]',
            "may write /app, and so change",
        ),
    ],
    ids=["root", "file", "package", "folder above", "group", "venv in a home", "at the start"],
)  # fmt: skip
def test_a_process_that_can_change_its_code_is_found(build: Build, line: str, found: str) -> None:
    build(SERVICE + line)
    with pytest.raises(Missing, match=found):
        lab01.is_unprivileged()


def test_a_process_that_does_not_stop_is_found(build: Build) -> None:
    build(SERVICE + "CMD python /app/psp/main.py; true\n")
    with pytest.raises(Missing, match=r"killed \(exit status 137\)"):
        lab01.answers_and_stops()


def test_a_process_that_ends_is_shown_with_its_last_words(build: Build) -> None:
    build(SERVICE + 'CMD ["python", "-c", "raise SystemExit(\'no ledger\')"]\n')
    with pytest.raises(Missing, match="no ledger"):
        lab01.answers_and_stops()


def test_a_process_that_cannot_start_is_shown_with_the_reason(docker, build: Build) -> None:
    build(SERVICE + 'CMD ["pythn"]\n')
    with pytest.raises(Missing, match='exec: "pythn": executable file not found'):
        lab01.answers_and_stops()
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={lab01.IMAGE}") == ""


# --- what is new after a change ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM scratch\nCOPY packages /\nCOPY psp /app/psp",
        "FROM scratch\nCOPY psp /app/psp\nCOPY --link packages /",
        f"{BASE} AS first\nCOPY . /all\nFROM scratch\nCOPY --from=first /all/packages /\n"
        "COPY --from=first /all/psp /app/psp",
    ],
    ids=["packages first", "linked", "stages"],
)
def test_a_change_that_costs_little_is_right(build: Build, dockerfile: str) -> None:
    build(dockerfile)
    lab01.is_layered()


def test_an_argument_of_the_first_build_is_no_change(build: Build) -> None:
    build(f"{BASE}\nARG WHO\nRUN head -c 3000000 /dev/urandom > /packages\nCOPY psp /\n", "--build-arg", "WHO=me")
    lab01.is_layered()


@pytest.mark.parametrize(
    ("dockerfile", "found"),
    [
        ("FROM scratch\nCOPY . /", "2 MB are new"),
        (f"{BASE}\nCOPY psp /\nRUN head -c 3000000 /dev/urandom > /packages", "3 MB are new"),
        ("FROM scratch\nCOPY packages /", "does not change the image"),
    ],
    ids=["all at once", "code first", "no code"],
)
def test_a_change_that_costs_much_is_found(build: Build, dockerfile: str, found: str) -> None:
    build(dockerfile)
    with pytest.raises(Missing, match=found):
        lab01.is_layered()


def test_a_build_that_cannot_be_repeated_is_shown_with_its_error(build: Build, folder: Path) -> None:
    build("FROM scratch\nCOPY psp /\n")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY nothing /\n")
    with pytest.raises(Missing, match=r"cannot be built again: .*nothing"):
        lab01.is_layered()


# --- the key -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dockerfile",
    [
        f"{BASE}\nRUN --mount=type=secret,id=key sha256sum /run/secrets/key > /built-with\nCOPY psp /",
        f"{BASE} AS all\nCOPY secret.key /\nRUN sha256sum /secret.key > /sum\n"
        "FROM scratch\nCOPY --from=all /sum /\nCOPY psp /",
    ],
    ids=["secret", "another stage"],
)  # fmt: skip
def test_a_key_that_is_only_used_is_right(build: Build, dockerfile: str) -> None:
    build(dockerfile)
    lab01.hides_the_key()
    lab01.is_layered()


@pytest.mark.parametrize("text", [f"{KEY}\n", KEY], ids=["as it is", "without its end of line"])
def test_the_sum_of_the_key_shows_that_it_was_used(build: Build, folder: Path, text: str) -> None:
    (folder / "built-with").write_text(sha256(text.encode()).hexdigest())
    build("FROM scratch\nCOPY built-with /\n")
    lab01.hides_the_key()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("COPY secret.key /", "layer 1 of 1 holds the key, in /secret.key"),
        ("COPY start /log\nCOPY psp /", "layer 1 of 2 holds the key, in /log"),
        ("COPY psp /\nCOPY end /log", "layer 2 of 2 holds the key, in /log"),
        (f"ARG KEY={KEY}\nCOPY psp /", "history --no-trunc"),
        (f"ENV KEY={KEY}\nCOPY psp /", "history --no-trunc"),
        ("COPY psp /", "was not built with the key"),
        (f"LABEL built-with={sha256(KEY.encode()).hexdigest()}\nCOPY psp /", "the Dockerfile has the key's SHA-256"),
    ],
    ids=["the key itself", "in a larger file", "at its end", "argument", "environment", "not used", "copied sum"],
)
def test_a_key_that_can_be_read_is_found(build: Build, folder: Path, lines: str, found: str) -> None:
    (folder / "start").write_text(KEY + 9000 * " ")
    (folder / "end").write_text(9000 * " " + KEY)
    build(f"FROM scratch\n{lines}\n")
    with pytest.raises(Missing, match=found):
        lab01.hides_the_key()


@pytest.mark.parametrize(
    ("mount", "name"),
    [
        ("type=secret,id=key", "key"),
        ("type=secret,required=true,id=key,target=/k", "key"),
        ("id=key,type=secret,env=KEY", "key"),
        ("type=secret,target=/run/secrets/secret.key", "secret.key"),
        ("type=cache,id=pip,target=/root/.cache", None),
    ],
)
def test_a_secret_is_given_to_the_build_under_the_name_that_its_dockerfile_has(mount: str, name: str | None) -> None:
    assert lab01.secrets_of(f"RUN --mount={mount} pip install x\n") == {name} - {None}

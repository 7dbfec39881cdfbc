"""Grades lab 3: version 2.0 in the learner's registry, signed, with a bill of materials, named by its digest."""

import base64
import json
import os
import re
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from shopctl.labs import Lab, Missing
from shopctl.labs.looking import engine_answers, said
from shopctl.place import Place

REGISTRY = "localhost:5003"
REPOSITORY = f"{REGISTRY}/quayside/psp"
MANIFESTS = ", ".join((
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
))  # fmt: skip
VERSION = "org.opencontainers.image.version"

lab = Lab()
lab.start("a Docker Engine", remedy="start Docker", look=engine_answers)
lab.question("1", "one", hint="Count the lines with `Pushed` in the output of the push.")
lab.question("b", hint="Does `docker run` ask the registry if the machine has an image of that name?")
lab.question("b", hint="What can a client compare the manifest with?")
lab.question("a", hint="Compare the image's digest before and after, and list the tags.")
lab.question("b", hint="Count the lines of the bill by the first part of their `purl`.")


@lab.check(
    "the tag 2.0 names an image that says it is version 2.0",
    points=2,
    hint="`make push` takes REGISTRY, TAG and BAKE; look at what `docker image inspect` says about labels.",
)
def is_pushed() -> None:
    version = labels(digest("2.0")).get(VERSION)
    if version != "2.0":
        raise Missing(f"its label {VERSION} is {version}")


@lab.check(
    "the image that the tag 2.0 names is signed with your key",
    points=2,
    hint="Compare the digest that you have signed with the one that the tag names now.",
)
def is_signed() -> None:
    cosign("verify", digest("2.0"))


@lab.check(
    "a bill of materials is attested for it",
    points=2,
    hint="The bill is made from the image, and attested for the digest of the same image, as type cyclonedx.",
)
def has_a_bill() -> None:
    named = digest("2.0")
    digests = {named, *re.findall(r"sha256:[0-9a-f]{64}", asked(f"manifests/{named}")[0].decode())}
    faults = []
    for line in cosign("verify-attestation", named, "--type", "cyclonedx").splitlines():
        statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
        fault = fault_of(statement["predicate"], digests)
        if not fault:
            return
        faults.append(fault)
    raise Missing(faults[-1] if faults else "no bill is attested")


@lab.check(
    ".run/lab03/deployed names it by its digest",
    points=1,
    hint="The line is the image's name, @, and the digest that the tag names now.",
)
def is_named_by_digest() -> None:
    file = Place.here().run / "lab03" / "deployed"
    if not file.exists():
        raise Missing("there is no such file")
    found = file.read_text().strip().removeprefix("image:").strip(" \"'")
    named = digest("2.0")
    if found not in (f"{REPOSITORY}@{named}", f"{REPOSITORY}:2.0@{named}"):
        raise Missing(f"it names {found or 'nothing'}, and the tag 2.0 is {REPOSITORY}@{named}")


def fault_of(bill: dict[str, Any], digests: set[str]) -> str | None:
    """Tells what is wrong with a bill of the image that has these digests, of which a tool may name any."""
    component = (bill.get("metadata") or {}).get("component") or {}
    version = component.get("version") or "2.0"
    if version not in {"2.0", *digests}:
        return f"the attested bill is of another image, {version}"
    if not any(part.get("name") == "uvicorn" for part in bill.get("components") or []):
        return "the attested bill does not list the package uvicorn, which is in the image"
    return None


# --- the registry ------------------------------------------------------------------------------------


def asked(path: str, method: str = "GET") -> tuple[bytes, Any]:
    """The body and the headers of the registry's answer."""
    try:
        request = Request(f"http://{REGISTRY}/v2/quayside/psp/{path}", method=method, headers={"Accept": MANIFESTS})
        with urlopen(request, timeout=10) as answer:  # noqa: S310 – the request's address is http
            return answer.read(), answer.headers
    except HTTPError as error:
        kind, _, name = path.partition("/")
        what = "tag" if kind == "manifests" else "blob"
        raise Missing(f"the registry at {REGISTRY} has no {what} {name}" if error.code == 404 else str(error)) from None
    except (URLError, OSError):
        raise Missing(f"there is no registry at {REGISTRY}") from None


def digest(tag: str) -> str:
    _, headers = asked(f"manifests/{tag}", "HEAD")
    return str(headers["Docker-Content-Digest"])


def labels(reference: str) -> dict[str, str]:
    """The labels of an image; of the first one, if an index names one for each platform."""
    manifest = json.loads(asked(f"manifests/{reference}")[0])
    if "manifests" in manifest:
        manifest = json.loads(asked(f"manifests/{manifest['manifests'][0]['digest']}")[0])
    config = json.loads(asked(f"blobs/{manifest['config']['digest']}")[0])
    return config["config"].get("Labels") or {}


def cosign(command: str, reference: str, *options: str) -> str:
    """Runs the lab's cosign on the registry's network. Raises Missing with what it does not accept."""
    keys = Place.here().run / "lab03" / "keys"
    if not (keys / "cosign.pub").exists():
        raise Missing("there is no .run/lab03/keys/cosign.pub")
    run = ("docker", "run", "--rm", "--network", "container:lab03-registry", "--user", f"{os.getuid()}:{os.getgid()}")
    key = ("--insecure-ignore-tlog", "--key", "/keys/cosign.pub")
    image = f"localhost:5000/quayside/psp@{reference}"
    try:
        return said(*run, "--volume", f"{keys}:/keys:ro", "lab03/cosign", "cosign", command, *key, *options, image)
    except Missing as missing:
        message = str(missing).removeprefix("error during command execution: ").removeprefix("main.go:74: ")
        raise Missing(message) from None

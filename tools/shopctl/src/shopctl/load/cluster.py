"""Loads the shop that is installed on a cluster, audits it there, and prints one verdict: `make cluster-load`.

SHAPE, USERS, TIME, SEED, PERSONAS, PAGES and THRESHOLDS are as for `make load`; WORKERS is the number of worker pods,
by default two, and NAMESPACE that of the shop. The exit status is 0 if the gate and the audit pass, 1 if not, 2 for a
wrong setting or if there is no shop, 130 after Ctrl-C, which takes the files of the run but does not audit.
"""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chassis.local.processes import StartError
from shopctl.audit.command import show
from shopctl.audit.finding import Finding
from shopctl.console import interruptible, out
from shopctl.load import locust
from shopctl.load.verdict import limited, read_summary, verdict
from shopctl.place import Place

NAMESPACE = os.environ.get("NAMESPACE") or "quayside"
HELM = os.environ.get("HELM") or "helm"
SHOP, LOAD, AUDITOR = "shop", "load", "load-audit"
UNITS = {"h": 3600, "m": 60, "s": 1}
SETTINGS = ("SHAPE", "USERS", "TIME", "SEED", "PERSONAS", "PAGES", "THRESHOLDS")
WRONG_USAGE = 2
"""The leader's exit status for a wrong setting, which its log names."""
BESIDES = 900
"""Seconds that a load test may take besides TIME: pods start, visits end, and files are taken."""
PULLED_WITHIN = 180
"""Seconds until the leader's pod must run."""


def main() -> int:
    place = Place.here()
    try:
        of_shop = installed()
    except StartError as error:
        out.print(error, style="red", markup=False, soft_wrap=True)
        return 2
    folder = locust.folder(place, f"{os.environ.get('SHAPE') or 'steady'}-cluster")
    with load_test(place.root / "charts/loadtest", of_shop):
        try:
            leader = follow()
        finally:
            for pod in (*pods("loadtest-leader"), *pods("loadtest-worker")):
                take(pod, folder)
    if leader == WRONG_USAGE:
        return leader
    out.print("Waiting until all orders are settled, for the audit …")
    findings = audit(folder)
    for each in findings:
        show(each)
    summary = read_summary(folder)
    passed, line = verdict(summary, findings)
    if count := limited(summary):
        out.print(f"\nThe edge limited {count:,} requests: see edge.rateLimit in charts/edge.", soft_wrap=True)
    out.print(f"\nReport: {folder / 'report.html'}", soft_wrap=True, markup=False)
    out.print(line, style="green" if passed else "red", soft_wrap=True, markup=False)
    return 0 if passed and leader == 0 else 1


def installed() -> list[str]:
    """Returns the options by which the load test fits to the installed shop. Raises StartError if there is none."""
    try:
        values = json.loads(helm("get", "values", SHOP, "--all", "--output", "json"))
    except StartError as error:
        raise StartError(f"There is no shop in the namespace {NAMESPACE}. Is KUBECONFIG set?\n{error}") from None
    images, identity = values["global"], values["identity"]
    email, password = identity["admin"]["email"], identity["secrets"]["admin-password"]
    settings = {
        "image.registry": images["registry"],
        "image.tag": images["tag"],
        "target": f"http://edge:{values['edge'].get('service', {}).get('port', 8080)}",
        "config.ADMIN_EMAIL": email,
        "secrets.admin-password.name": password["name"] if email else "",
        "secrets.admin-password.key": password["key"],
    }
    options = [f"--set-string={name}={value}" for name, value in settings.items()]
    return [*options, f"--set-json=imagePullSecrets={json.dumps(images['imagePullSecrets'])}"]


@contextmanager
def load_test(chart: Path, of_shop: list[str]) -> Iterator[None]:
    """Installs the load test, and removes it at the end."""
    settings = {f"config.{name}": os.environ.get(name, "").replace(",", r"\,") for name in SETTINGS}
    if length := os.environ.get("TIME"):
        settings["deadlineSeconds"] = str(seconds(length) + BESIDES)
    settings |= {"keepResults": "true", "workers": os.environ.get("WORKERS") or "2"}
    options = [*of_shop, *(f"--set={name}={value}" for name, value in settings.items() if value)]
    removed = ("uninstall", LOAD, "--ignore-not-found", "--wait", "--cascade", "foreground", "--timeout", "120s")
    helm(*removed)  # of a run that was killed
    try:
        helm("install", LOAD, str(chart), *options)
        yield
    finally:
        helm(*removed)


def seconds(text: str) -> int:
    """The seconds of a TIME, such as 1h30m."""
    return sum(int(number) * UNITS[unit] for number, unit in re.findall("([0-9]+)([hms])", text))


def follow() -> int:
    """Prints the leader's log until it ends, and returns its exit status."""
    deadline = time.monotonic() + PULLED_WITHIN
    while not (state := leader_state()) or "waiting" in state:
        if time.monotonic() > deadline:
            raise StartError(f"The leader does not run after {PULLED_WITHIN} s: {state}")
        time.sleep(0.5)
    command = ["kubectl", "--namespace", NAMESPACE, "logs", "--follow", "job/loadtest-leader-1", "--container=loadtest"]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    while "terminated" not in (state := leader_state()):  # the connection was lost
        if not state:
            raise StartError("The leader's pod is gone.")
        time.sleep(1)
    return int(state["terminated"]["exitCode"])


def leader_state() -> dict[str, Any]:
    for pod in pods("loadtest-leader"):
        for each in pod["status"].get("containerStatuses", ()):
            if each["name"] == "loadtest":
                found: dict[str, Any] = each["state"]
                return found
    return {}


def pods(app: str) -> list[dict[str, Any]]:
    selector = f"app.kubernetes.io/instance={LOAD},app.kubernetes.io/name={app}"
    found: list[dict[str, Any]] = json.loads(kubectl("get", "pods", "--selector", selector, "--output", "json"))[
        "items"
    ]
    return found


def take(pod: dict[str, Any], folder: Path) -> None:
    """Copies the files of a pod into `folder`, or says why it cannot."""
    name = pod["metadata"]["name"]
    try:
        packed = kubectl_bytes("exec", name, "--container=results", "--", "tar", "-C", "/results", "-c", ".")
    except (StartError, subprocess.TimeoutExpired) as error:
        out.print(f"The files of {name} are lost: {error}", style="red", markup=False, soft_wrap=True)
        return
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(folder, filter="data")


def audit(folder: Path) -> list[Finding]:
    """Audits the shop in the cluster, where its databases can be reached, with the attempts of the run."""
    template = json.loads(kubectl("get", "cronjob", "shop-audit", "--output", "json"))["spec"]["jobTemplate"]["spec"]
    pod = template["template"]["spec"]
    pod["containers"][0] |= {"command": ["sleep"], "args": ["600"]}
    meta = {"name": AUDITOR, "labels": template["template"]["metadata"]["labels"]}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod}
    removed = ("delete", "pod", AUDITOR, "--ignore-not-found", "--now")
    kubectl(*removed)
    try:
        kubectl("apply", "--filename", "-", stdin=json.dumps(document).encode())
        kubectl("wait", "--for=condition=Ready", f"pod/{AUDITOR}", "--timeout=120s")
        attempts = sorted(folder.glob("attempts-*.jsonl"))
        given = ["--attempts", "/tmp/attempts.jsonl"] if attempts else []  # noqa: S108
        if attempts:
            journal = b"".join(file.read_bytes() for file in attempts)
            kubectl("exec", "--stdin", AUDITOR, "--", "sh", "-c", "cat >/tmp/attempts.jsonl", stdin=journal)
        command = ("python", "-m", "shopctl", "audit", "--json", "--wait", "120", *given)
        said = kubectl_bytes("exec", AUDITOR, "--", *command, failing=True)
        return [Finding(**{key: text for key, text in each.items() if key != "ok"}) for each in json.loads(said)]
    finally:
        kubectl(*removed)


def helm(*arguments: str) -> str:
    return run(HELM, "--namespace", NAMESPACE, *arguments).decode()


def kubectl(*arguments: str, stdin: bytes = b"") -> str:
    return kubectl_bytes(*arguments, stdin=stdin).decode()


def kubectl_bytes(*arguments: str, stdin: bytes = b"", failing: bool = False) -> bytes:
    """Runs kubectl; with `failing`, its exit status does not matter as long as it prints something."""
    # Over WebSockets, the end of a command's output was sometimes lost.
    os.environ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = "false"
    return run("kubectl", "--namespace", NAMESPACE, *arguments, stdin=stdin, failing=failing)


def run(*argv: str, stdin: bytes = b"", failing: bool = False) -> bytes:
    done = subprocess.run(argv, input=stdin, capture_output=True, timeout=300, check=False)
    if done.returncode and not (failing and done.stdout):
        raise StartError(f"{' '.join(argv[:4])} … failed:\n{done.stderr.decode(errors='replace').strip()[-1000:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        with interruptible():
            sys.exit(main())
    except (StartError, subprocess.TimeoutExpired) as error:
        sys.exit(f"FAIL: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

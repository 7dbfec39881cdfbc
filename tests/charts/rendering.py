"""The objects that a chart renders. HELM may name another Helm program."""

import os
import subprocess
from typing import Any

import yaml
from release import ROOT

Objects = dict[tuple[str, str], dict[str, Any]]

ALONE = {"edge": [], "infra": [], "loadtest": [], "observability": [], "shop": []}


def template(chart: str, *values: str, apis: str = "") -> subprocess.CompletedProcess[str]:
    needed = ALONE.get(chart, [f"existingSecret={chart}"])
    options = [f"--set={value}" for value in (*needed, *values)]
    command = [os.environ.get("HELM", "helm"), "template", chart, f"charts/{chart}", "--kube-version=1.33.0", *options]
    if apis:
        command.append(f"--api-versions={apis}")
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def rendered(chart: str, *values: str, apis: str = "") -> Objects:
    done = template(chart, *values, apis=apis)
    assert done.returncode == 0, done.stderr
    found = [each for each in yaml.safe_load_all(done.stdout) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}

#!/usr/bin/env bash
# The charts: `charts.sh build` fetches their dependencies, `charts.sh check` lints them as well.
# HELM=helm4 in the environment takes another Helm.
set -euo pipefail
cd "$(dirname "$0")/../charts"
helm=${HELM:-helm}
kubernetes=1.33.0 # the release that templates are rendered and checked for
services=(catalog cart order payment identity psp edge infra)
parts=infra.enabled=false,secret.enabled=false,edge.enabled=false,psp.enabled=false,seed.enabled
split=order.worker.enabled=true,order.worker.autoscaling.enabled=true,order.autoscaling.enabled
command -v "$helm" >/dev/null || { echo "Helm is not installed: https://helm.sh/docs/intro/install/" >&2; exit 1; }

# Not recursive by itself: the parts come before the whole. Each is packed anew, as its version does not tell of changes.
build() {
  for chart in "${services[@]}" shop; do
    rm -rf "$chart/charts" "$chart/Chart.lock"
    quietly "$helm" dependency build "$chart"
  done
}

# What a chart must have when it is installed alone.
required() {
  case $1 in edge | infra | shop) ;; *) echo "--set existingSecret=$1" ;; esac
}

check() {
  rendered=$(mktemp -d)
  trap 'rm -rf "$rendered"' EXIT
  for chart in "${services[@]}" shop; do
    # shellcheck disable=SC2046 # words
    quietly "$helm" lint --strict --kube-version $kubernetes $(required "$chart") "$chart"
    # shellcheck disable=SC2046
    render "$chart" $(required "$chart") --output-dir "$rendered/$chart"
  done
  render shop -f shop/values-ha.yaml --output-dir "$rendered/ha"
  render shop --set "$parts=false,identity.admin.email=" --output-dir "$rendered/bare"
  render shop --set "$split=true" --output-dir "$rendered/split"
  validate
  score
  echo "charts: ${services[*]} shop are well"
}

# Without the test's pod: the API refuses it where its service account is not there yet.
render() { # render CHART OPTION…
  quietly "$helm" template "$1" "$1" --namespace default --skip-tests --kube-version $kubernetes "${@:2}"
}

# Against the API itself where a cluster answers, changing nothing; else against its schemas, which kubeconform downloads.
validate() {
  if kubectl version --request-timeout=2s >/dev/null 2>&1; then
    quietly kubectl apply --namespace default --dry-run=server --recursive -f "$rendered"
  elif command -v kubeconform >/dev/null; then
    kubeconform -strict -kubernetes-version $kubernetes "$rendered"
  else
    echo "charts: no cluster answers and kubeconform is not installed, so nothing is checked against the API" >&2
  fi
}

# What it would have and we do not want: a limit of CPU, which slows a pod down while its node idles; limits of local
# storage, where the root is read-only and each empty directory has its size; a registry that must answer for a pod to
# start; users above 10000, which upstream's images do not have; two different probes of a store, which listens or does
# not; headless Services, anti-affinity where there is one pod, or a rule for spreading.
ignored=(container-ephemeral-storage-request-and-limit container-image-pull-policy container-security-context-user-group-id
  deployment-has-host-podantiaffinity pod-probes-identical statefulset-has-servicename)
score() {
  if ! command -v kube-score >/dev/null; then
    echo "charts: kube-score is not installed, so nothing is scored" >&2
    return
  fi
  "$helm" template shop shop --kube-version $kubernetes -f shop/values-ha.yaml 2>/dev/null |
    kube-score score --kubernetes-version v1.33 --exit-one-on-warning --output-format ci --ignore-container-cpu-limit \
      "${ignored[@]/#/--ignore-test=}" - | { grep -vE '^\[(OK|SKIPPED)\]' && return 1 || true; }
}

# Helm tells of each link that it follows; only a failure is worth reading.
quietly() {
  local said
  said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2; return 1; }
}

case ${1:-} in
build) build ;;
check) build && check ;;
*) sed -n 2,3p "../tools/charts.sh" >&2; exit 2 ;;
esac

#!/usr/bin/env bash
# `charts.sh build` fetches the charts' dependencies; `charts.sh check` also checks the charts.
# HELM=helm4 in the environment selects another Helm.
set -euo pipefail
cd "$(dirname "$0")/../charts"
helm=${HELM:-helm}
kubernetes=1.33.0 # the version for which templates are rendered and checked
mapfile -t parts < <(printf '%s\n' */Chart.yaml | xargs -n 1 dirname | grep -vxE 'common|shop')
bare=infra.enabled=false,secret.enabled=false,edge.enabled=false,psp.enabled=false,seed.enabled
split=order.worker.enabled=true,order.worker.autoscaling.enabled=true,order.autoscaling.enabled
all=prometheus.cadvisor.enabled=true,prometheus.storage.size=2Gi,grafana.enabled=true,dashboards.enabled=true
command -v "$helm" >/dev/null || { echo "Helm is not installed: https://helm.sh/docs/intro/install/" >&2; exit 1; }

# Helm does not do this recursively, so the shop comes last. Each chart is packed again, because its version stays the
# same when it changes.
build() {
  for chart in "${parts[@]}" shop; do
    rm -rf "$chart/charts" "$chart/Chart.lock"
    quietly "$helm" dependency build "$chart"
  done
}

# Prints the options without which a chart cannot be installed alone.
required() {
  case $1 in edge | infra | loadtest | observability | shop) ;; *) echo "--set existingSecret=$1" ;; esac
}

check() {
  rendered=$(mktemp -d)
  trap 'rm -rf "$rendered"' EXIT
  for chart in "${parts[@]}" shop; do
    # shellcheck disable=SC2046 # words
    quietly "$helm" lint --strict --kube-version $kubernetes $(required "$chart") "$chart"
    # shellcheck disable=SC2046
    render "$chart" $(required "$chart") --output-dir "$rendered/$chart"
  done
  render shop -f shop/values-ha.yaml --output-dir "$rendered/ha"
  render shop --set "$bare=false,identity.admin.email=" --output-dir "$rendered/bare"
  render shop --set "$split=true" --output-dir "$rendered/split"
  render shop --set "global.observability.enabled=true" --output-dir "$rendered/observed"
  render loadtest --set keepResults=true,workers=3 --output-dir "$rendered/loadtest-kept"
  render observability --set "$all" --output-dir "$rendered/observability-all"
  validate
  score shop -f shop/values-ha.yaml
  ignored+=(deployment-replicas) # each tool has one pod
  score observability --set "$all"
  echo "charts: ${parts[*]} shop pass all checks"
}

# Omits the test's pod, which the API refuses if its service account does not exist yet.
render() { # render CHART OPTION…
  quietly "$helm" template "$1" "$1" --namespace default --skip-tests --kube-version $kubernetes "${@:2}"
}

# Validates against the API server by a dry run if a cluster answers, otherwise against schemas that kubeconform downloads.
validate() {
  if kubectl version --request-timeout=20s >/dev/null 2>&1; then
    quietly kubectl apply --namespace default --dry-run=server --recursive -f "$rendered"
  elif command -v kubeconform >/dev/null; then
    kubeconform -strict -kubernetes-version $kubernetes "$rendered"
  else
    echo "charts: no cluster answers and kubeconform is not installed, so the charts are not validated against the API" >&2
  fi
}

# These checks of kube-score are not wanted. A CPU limit slows a pod down even while its node is idle. A limit of local
# storage is not needed: the root is read-only, and each empty directory has a size limit. Pulling images always would
# make the start of a pod depend on the registry. The images of the stores have user IDs below 10000. A store needs only
# one kind of probe. The others ask for headless Services, and for anti-affinity of pods that are single or already spread.
ignored=(container-ephemeral-storage-request-and-limit container-image-pull-policy container-security-context-user-group-id
  deployment-has-host-podantiaffinity pod-probes-identical statefulset-has-servicename)
score() { # score CHART OPTION…
  if ! command -v kube-score >/dev/null; then
    echo "charts: kube-score is not installed, so the charts are not scored" >&2
    return
  fi
  "$helm" template "$1" "$1" --kube-version $kubernetes "${@:2}" 2>/dev/null |
    kube-score score --kubernetes-version v1.33 --exit-one-on-warning --output-format ci --ignore-container-cpu-limit \
      "${ignored[@]/#/--ignore-test=}" - | { grep -vE '^\[(OK|SKIPPED)\]' && return 1 || true; }
}

# Prints the output only of a failure: Helm reports every symbolic link that it follows.
quietly() {
  local said
  said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2; return 1; }
}

case ${1:-} in
build) build ;;
check) build && check ;;
*) sed -n 2,3p "../tools/charts.sh" >&2; exit 2 ;;
esac

#!/usr/bin/env bash
# `classroom.sh up STUDENT…` gives each student a namespace, shop-STUDENT, with a share of the cluster, and writes a
# kubeconfig for it to .run/classroom. `classroom.sh down [STUDENT…]` removes those of the students, or of all.
# SHOP_RUN in the environment replaces .run.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${SHOP_RUN:-.run}/classroom
label=quayside.example/classroom

up() {
  local student
  for student in "$@"; do
    [[ $student =~ ^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$ ]] ||
      { echo "A student's name has small letters, digits and hyphens, at most 50: $student" >&2; exit 2; }
  done
  umask 077
  mkdir -p "$folder"
  for student in "$@"; do
    of "$student" charts/namespace.yaml | kubectl apply --filename -
    kubectl label --overwrite namespace "shop-$student" "$label=$student"
    of "$student" charts/classroom.yaml | kubectl apply --namespace "shop-$student" --filename -
  done >&2
  for student in "$@"; do kubeconfig "$student"; done
}

of() { sed "s/quayside$/shop-$1/; s/namespace: quayside/namespace: shop-$1/" "$2"; } # of STUDENT FILE

kubeconfig() { # kubeconfig STUDENT: prints the file's name
  local file=$folder/$1.kubeconfig token
  token=$(kubectl --namespace "shop-$1" wait --for='jsonpath={.data.token}' --timeout=30s secret/student-token \
    --output 'go-template={{.data.token | base64decode}}')
  # The cluster of the current context, with another user: the teacher's own credentials are not written anywhere.
  kubectl config view --raw --flatten --minify --output json | TOKEN=$token python3 -c '
import json, os, sys
student, config = sys.argv[1], json.load(sys.stdin)
config["users"] = [{"name": student, "user": {"token": os.environ["TOKEN"]}}]
config["contexts"][0]["context"].update(user=student, namespace=f"shop-{student}")
json.dump(config, sys.stdout, indent=2)' "$1" >"$file"
  echo "$file"
}

down() {
  local students=("$@") student
  if [ ${#students[@]} = 0 ]; then
    mapfile -t students < <(kubectl get namespaces --selector "$label" --output name | sed 's,^namespace/shop-,,')
  fi
  for student in "${students[@]}"; do
    kubectl delete namespace --selector "$label=$student" --wait=false
    kubectl --namespace "shop-$student" delete pods --all --now --wait=false # which otherwise complete their requests
    rm -f "$folder/$student.kubeconfig"
  done
  for student in "${students[@]}"; do
    kubectl wait --for=delete namespace --selector "$label=$student" --timeout=300s
  done
}

case ${1:-} in
up) [ $# -gt 1 ] || { echo 'Name the students: make classroom STUDENTS="ann bob"' >&2; exit 2; }; up "${@:2}" ;;
down) down "${@:2}" ;;
*) sed -n 2,4p tools/classroom.sh >&2; exit 2 ;;
esac

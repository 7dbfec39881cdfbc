# shellcheck shell=bash
# A shopper for the labs. `. docs/labs/shopper.sh` defines these functions in your terminal.
shop=${shop:-http://localhost:8080}
order=${order:-}

# field '["id"]' prints a part of the JSON that it reads.
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

# within SECONDS COMMAND repeats a command until it succeeds, and fails if it has not after that time.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    if ((SECONDS >= end)); then
      echo "It has not happened in time: $*" >&2
      return 1
    fi
    sleep 0.5
  done
}

# ask PATH [OPTION]... asks the shop with your token, and prints its answer. It tells if there is none, also after a retry:
# the edge needs up to 3 s to find a service that has a new container.
ask() {
  curl -fs --retry 5 "$shop$1" -H "Authorization: Bearer ${token:-}" "${@:2}" && return
  echo "The shop at $shop has not answered $1. Does all of it run?" >&2
  return 1
}

# fill_cart makes you a new guest, with a bag of espresso beans in the cart.
fill_cart() {
  local guest product sku cart
  token='' version=''
  guest=$(ask /api/identity/guests -X POST) &&
    token=$(field '["access_token"]' <<<"$guest") &&
    product=$(ask '/api/catalog/products?q=espresso&limit=1') &&
    sku=$(field '["items"][0]["sku"]' <<<"$product") &&
    total=$(field '["items"][0]["price"]["amount"]' <<<"$product") &&
    cart=$(ask "/api/cart/items/$sku" -X PUT -H 'Content-Type: application/json' -d '{"quantity": 1}') &&
    version=$(field '["version"]' <<<"$cart")
}

# place_order KEY [CARD] orders the cart. It prints the HTTP status and the order's status or the problem, and sets
# `order`. The same idempotency key returns the same order.
place_order() {
  local answer code
  order=''
  if [ -z "${version:-}" ]; then
    echo "Your cart is empty: run fill_cart first." >&2
    return 1
  fi
  if ! answer=$(curl -sS -w '\n%{http_code}' -X POST "$shop/api/orders" -H "Authorization: Bearer $token" \
    -H "Idempotency-Key: $1" -H 'Content-Type: application/json' -d '{
      "cart_version": "'"$version"'", "payment_method": "'"${2:-tok_visa}"'",
      "shipping_address": {"name": "Ann Lee", "line1": "Quay 1", "city": "Bergen", "postal_code": "5003",
                           "country": "NO"},
      "expected_total": {"amount": '"$total"', "currency": "EUR"}}'); then
    echo "The shop at $shop has not answered the order. Does all of it run?" >&2
    return 1
  fi
  code=${answer##*$'\n'} answer=${answer%$'\n'*}
  if order=$(field '["id"]' <<<"$answer" 2>/dev/null); then
    echo "$code $(field '["status"]' <<<"$answer")"
  else
    echo "$code $(field '["title"]' <<<"$answer" 2>/dev/null)"
  fi
}

# order_status prints the status of the order that place_order has placed.
order_status() { curl -fsS "$shop/api/orders/$order" -H "Authorization: Bearer $token" | field '["status"]'; }

# wait_for CONFIRMED waits until that order has this status, two minutes at most.
wait_for() {
  local now=''
  if [ -z "$order" ]; then
    echo "There is no order: the last place_order did not place one." >&2
    return 1
  fi
  for _ in $(seq 240); do
    now=$(order_status 2>/dev/null) && [ "$now" = "$1" ] && break
    sleep 0.5
  done
  if [ -z "$now" ]; then
    echo "The shop at $shop has not told the status of the order. Does all of it run?" >&2
    return 1
  fi
  echo "$now"
  [ "$now" = "$1" ]
}

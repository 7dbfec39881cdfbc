# shellcheck shell=bash
# A shopper for the labs. `. docs/labs/shopper.sh` defines these functions in your terminal.
shop=${shop:-http://localhost:8080}

# field '["id"]' prints a part of the JSON that it reads.
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

# fill_cart makes you a new guest, with an espresso machine in the cart.
fill_cart() {
  local product sku
  token=$(curl -fsS -X POST "$shop/api/identity/guests" | field '["access_token"]')
  product=$(curl -fsS "$shop/api/catalog/products?q=espresso&limit=1")
  sku=$(field '["items"][0]["sku"]' <<<"$product")
  total=$(field '["items"][0]["price"]["amount"]' <<<"$product")
  version=$(curl -fsS -X PUT "$shop/api/cart/items/$sku" -H "Authorization: Bearer $token" \
    -H 'Content-Type: application/json' -d '{"quantity": 1}' | field '["version"]')
}

# place_order KEY [CARD] orders the cart. It prints the HTTP status and the order's status or the problem, and sets
# `order`. The same idempotency key returns the same order.
place_order() {
  local answer code
  answer=$(curl -sS -w '\n%{http_code}' -X POST "$shop/api/orders" -H "Authorization: Bearer $token" \
    -H "Idempotency-Key: $1" -H 'Content-Type: application/json' -d '{
      "cart_version": "'"$version"'", "payment_method": "'"${2:-tok_visa}"'",
      "shipping_address": {"name": "Ann Lee", "line1": "Quay 1", "city": "Bergen", "postal_code": "5003",
                           "country": "NO"},
      "expected_total": {"amount": '"$total"', "currency": "EUR"}}')
  code=${answer##*$'\n'} answer=${answer%$'\n'*}
  order=$(field '.get("id", "")' <<<"$answer")
  if [ -n "$order" ]; then
    echo "$code $(field '["status"]' <<<"$answer")"
  else
    echo "$code $(field '["title"]' <<<"$answer")"
  fi
}

# order_status prints the status of the order that place_order has placed.
order_status() { curl -fsS "$shop/api/orders/$order" -H "Authorization: Bearer $token" | field '["status"]'; }

# wait_for CONFIRMED waits until that order has this status, two minutes at most.
wait_for() {
  local now=
  for _ in $(seq 240); do
    now=$(order_status 2>/dev/null) && [ "$now" = "$1" ] && break
    sleep 0.5
  done
  echo "$now"
  [ "$now" = "$1" ]
}

"""Makes 20 charges, each on a connection of its own. It runs in a pod: it needs only Python and the Service's name."""

import json
from urllib.request import Request, urlopen

for number in range(20):
    charge = {"order_id": f"lab05-{number}", "amount": 100, "currency": "EUR", "payment_method": "tok_visa"}
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"lab05-{number}"}
    urlopen(Request("http://sandbox/charges", json.dumps(charge).encode(), headers), timeout=10).close()

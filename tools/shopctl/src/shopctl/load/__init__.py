"""`shopctl load`: simulated shoppers visit the running shop, and a verdict says whether it stayed right and fast.

`locust` starts Locust with the files in `loadtests/` on this machine, `containers` does so in Compose, and `cluster` on
Kubernetes. `verdict` reads what it found and audits the shop, and `command` is what people run.
"""

"""`shopctl chaos`: faults with names, which tests and people inject, and which are always undone.

`fault` says what a fault is, `faults` holds them, `catalog` lists them, and `injection` injects one, with a note on
disk until it is undone.
"""

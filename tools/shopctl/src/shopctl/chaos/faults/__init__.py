"""The faults, a module for each kind; each module has a tuple FAULTS, which `shopctl.chaos.catalog` collects."""

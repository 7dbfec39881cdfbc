"""`shopctl top`: a page about the running shop, drawn again every second or two.

series      what one process reports at one time, and what it counted since an earlier time
snapshot    what is known about the whole shop at one time
direct      snapshots of the shop on this machine, from the processes themselves
prometheus  snapshots of any shop, from its Prometheus
figures     two snapshots become rates, quantiles, and a list of what is wrong
page        the figures as a page that fits the terminal
"""

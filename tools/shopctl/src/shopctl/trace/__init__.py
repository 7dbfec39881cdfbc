"""`shopctl trace`: what happened to one order, as a tree.

order     finds the order, and its trace ID
jaeger    the steps from Jaeger: the spans of the order's trace
history   the steps from the databases, where there is no trace: statuses, and the messages between the services
tree      draws the steps
"""

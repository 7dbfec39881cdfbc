"""What the order service does: place (POST /orders), advance (the saga), watch (streams)."""

"""Pages for shoppers and for the back office."""

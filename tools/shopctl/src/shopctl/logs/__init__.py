"""`shopctl logs`: follows the logs of all processes or, with `--order`, shows the lines about one order."""

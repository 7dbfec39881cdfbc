"""The library that services share. It knows nothing about the shop."""

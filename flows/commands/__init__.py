"""The command line `nmt`."""

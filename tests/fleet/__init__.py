"""Pools that share one key, on a real server, through its deaths and theirs."""

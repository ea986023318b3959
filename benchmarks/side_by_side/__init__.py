"""The parts of ``benchmarks/peers.py``: other libraries and ours under the same load."""

"""Tests of the benchmarks' pure parts: what they make of figures."""

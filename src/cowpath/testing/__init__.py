"""Suites, simulators and a clock for this project and for third-party adapters."""

"""The lab: the real services on one machine, for tests, demos and tours.

Standard library only, and nothing of the package under test: the lab has to run
before anything is installed, by any Python from 3.11 on.
"""

"""Doors: parse, call one verb, print. No decisions."""

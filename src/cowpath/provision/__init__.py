"""The verbs: one module for each thing a user can ask for. Imports core only."""

"""The parts of `provision.transfer`: one reading, its proof, and what comes after."""

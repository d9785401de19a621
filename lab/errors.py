"""What the lab says when it cannot go on."""


class LabError(Exception):
    """The lab cannot do what it was asked; the message says what to do about it."""

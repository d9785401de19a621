"""What runs inside an unmodified nova-compute, in place of its way of getting images.

The only room that imports nova. Each class here is a thin subclass of Nova's: it
overrides what is mended or sped up, and every decision is taken where the other doors
have it taken.
"""

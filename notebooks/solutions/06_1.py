# Exercise 06.1: read from the header how long the plan is, in bytes.
import struct


def total_size(plan):
    """plan: the bytes of a plan, perhaps only its beginning."""
    return struct.unpack_from("<Q", plan, 16)[0]

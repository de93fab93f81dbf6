# hint: little-endian
import struct


def total_size(plan):
    return struct.unpack_from(">Q", plan, 16)[0]

# hint: the number has 64 bits
import struct


def total_size(plan):
    return struct.unpack_from("<I", plan, 16)[0]

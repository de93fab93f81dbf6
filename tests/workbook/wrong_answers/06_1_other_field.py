# hint: at byte 16
import struct


def total_size(plan):
    return struct.unpack_from("<Q", plan, 56)[0]

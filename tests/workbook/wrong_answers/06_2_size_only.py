# hint: the size is still right
import struct


def load(path, sha256):
    plan = path.read_bytes()
    if len(plan) != struct.unpack_from("<Q", plan, 16)[0]:
        raise ValueError(f"{path} is damaged")
    return plan

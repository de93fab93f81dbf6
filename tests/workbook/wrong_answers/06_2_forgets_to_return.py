# hint: return the bytes
import hashlib


def load(path, sha256):
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(f"{path} is damaged")

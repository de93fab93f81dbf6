# Exercise 06.2: load a plan, and raise ValueError if it is not exactly the one that was saved.
import hashlib


def load(path, sha256):
    """path: a pathlib.Path; sha256: the checksum noted when the plan was saved, as 64 hexadecimal digits."""
    plan = path.read_bytes()
    if hashlib.sha256(plan).hexdigest() != sha256:
        raise ValueError(f"{path} is damaged: its checksum is not {sha256}")
    return plan

# hint: compare the checksum
def load(path, sha256):
    return path.read_bytes()

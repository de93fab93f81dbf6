# hint: negative numbers are signals
def ending(returncode):
    return f"exit code {returncode}" if returncode else "fine"

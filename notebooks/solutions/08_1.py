# Exercise 08.1: how did a child process end?
import signal


def ending(returncode):
    """returncode: as subprocess gives it.

    Returns "fine", the name of the signal that killed it, or "exit code 3"."""
    if returncode == 0:
        return "fine"
    if returncode < 0:
        return signal.Signals(-returncode).name
    return f"exit code {returncode}"

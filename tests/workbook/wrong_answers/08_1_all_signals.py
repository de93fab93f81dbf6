# hint: the program's own exit code
import signal


def ending(returncode):
    return signal.Signals(abs(returncode)).name if returncode else "fine"

# hint: should be kept
class QuietLogger(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
        self.kept = []

    def log(self, severity, msg):
        if severity == trt.ILogger.Severity.WARNING:
            self.kept.append(msg)

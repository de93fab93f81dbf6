# hint: call trt.ILogger.__init__(self) first
class QuietLogger(trt.ILogger):
    def __init__(self):
        self.kept = []

    def log(self, severity, msg):
        if int(severity) <= int(trt.ILogger.Severity.WARNING):
            self.kept.append(msg)

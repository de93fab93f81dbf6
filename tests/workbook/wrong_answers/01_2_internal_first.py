# hint: the first of the two kinds
def reason(messages):
    for severity in ("INTERNAL_ERROR", "ERROR"):
        for message in messages:
            if message.severity == severity:
                return message.text
    return ""

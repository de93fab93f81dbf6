# hint: the first error is the cause
def reason(messages):
    found = ""
    for message in messages:
        if message.severity in ("ERROR", "INTERNAL_ERROR"):
            found = message.text
    return found

# hint: a WARNING is not yet an error
def reason(messages):
    for message in messages:
        if message.severity not in ("VERBOSE", "INFO"):
            return message.text
    return ""

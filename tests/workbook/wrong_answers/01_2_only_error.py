# hint: an INTERNAL_ERROR is an error too
def reason(messages):
    for message in messages:
        if message.severity == "ERROR":
            return message.text
    return ""

# hint: a WARNING is not yet an error
def reason(messages):
    for message in messages:
        if message.severity != "VERBOSE":
            return message.text
    return ""

# hint: an INFO is not an error
def reason(messages):
    for message in messages:
        if message.severity != "VERBOSE":
            return message.text
    return ""

# Exercise 01.2: return the text of the first message that says what went wrong, or "" if nothing did.
def reason(messages):
    """messages: a list of Message(severity, text), in the order in which they came."""
    for message in messages:
        if message.severity in ("ERROR", "INTERNAL_ERROR"):
            return message.text
    return ""

"""The code behind the rule root-login.

`PYTHONPATH=.:../.yagura/sdk/python/src python3 -m unittest discover tests` runs it natively, `yagura test ..` as a component
on recorded logs. Every module in this folder becomes part of one component.
"""

from yagura import Event, Finding, Severity, detector


@detector("root-login")
def root_login(event: Event) -> bool | Finding:
    """Finds logins of the root user; it is called once for each event that passed the rule's `where`."""
    if event["user_type"] != "Root":
        return False
    if event["additional_event_data.MFAUsed"] != "Yes":
        # What is said here replaces the rule's own title and severity.
        return Finding(severity=Severity.CRITICAL, title="Root login without a second factor")
    return True

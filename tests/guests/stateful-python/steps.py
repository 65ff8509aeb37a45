"""Detectors that do to their key's state what the column `step` says, at the time in the column `time`. What the state
answers becomes the finding's title, in the words of the guest `stateful`."""

from yagura import Batch, DataError, Findings, Rule, detector, state


# Two rules, so that a wake-up could go to the wrong one.
@detector("steps", "other-steps")
class Steps:
    def __init__(self, rule: Rule) -> None:
        self.rule = rule.id
        self.step = rule.text("step")
        self.time = rule.time("time")

    def on_batch(self, batch: Batch, findings: Findings) -> None:
        for event in batch:
            findings.row(event, title=said(event[self.step], event[self.time]))

    def on_wake(self, time: int, findings: Findings) -> None:
        # Neither comes again: time has to go on.
        state.wake(time)
        state.wake(time - 1)
        count = state.count("n", time)
        if count == 2:
            state.wake(time + 100)
        findings.at_watermark(title=f"{self.rule}: {count} at {time}, done")


def said(step: str, at: int) -> str:
    if step == "error":
        raise DataError("an event is odd")
    try:
        answer = take(step, at)
    except state.StateError as error:
        return str(error)
    return "done" if answer is None else str(answer)


def take(step: str, at: int) -> object:
    match step:
        case "count":
            return state.increment("n", at)
        case "count for ten":
            return state.increment("n", at, expires=at + 10)
        case "read":
            return state.count("n", at)
        case "forget":
            return state.remove("n")
        case "wake":
            return state.wake(at + 5)
        case "write":
            return state.put("text", "名", at + 10)
        case "text":
            return state.get_text("text", at) or ""
        case "count text":
            return state.increment("text", at)
        case "large value":
            return state.put("large", bytes(2000))
        case "many entries":
            for n in range(1001):
                state.put(str(n), b"")
        case "many wake-ups":
            for n in range(101):
                state.wake(at + 1 + n)
        case "come and go":
            for n in range(1000):
                state.put(str(n), bytes(500))
                state.remove(str(n))
        case _:
            raise DataError(f"`{step}` is no step")
    return None

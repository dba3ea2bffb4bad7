"""Counted expectations. A case that breaks off costs one failure and not the cases after it."""

import contextlib
import time
import traceback


class NotInTime(Exception):
    """A state that was waited for did not come."""


def until(what, look, deadline=90, pause=0.05):
    """The first truthy thing that `look` returns. Every wait of these tests is for a state, never for a time."""
    give_up = time.monotonic() + deadline
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > give_up:
            raise NotInTime(f"{what}: not within {deadline} s")
        time.sleep(pause)


class Checks:
    def __init__(self, report, known=()):
        """`known`: where another platform may show something else than this machine (lib/differences.py)."""
        self.report = report
        self.known = known
        self.running = ""
        self.passed = 0
        self.failed = 0

    def say(self, line):
        print(line, file=self.report, flush=True)

    def that(self, what, holds, detail=""):
        known = None if holds else next((each for each in self.known if each.meets(self.running, what, str(detail))), None)
        if holds or known:
            self.passed += 1
            self.say(f"  {f'as {known.name}:' if known else 'ok   '} {what}{f': {detail}' if known else ''}")
        else:
            self.failed += 1
            self.say(f"  FAIL  {what}{f': {detail}' if detail != '' else ''}")
        return bool(holds or known)

    def equal(self, what, got, expected):
        return self.that(what, got == expected, f"got {shortened(got)}, expected {shortened(expected)}")

    def raises(self, what, kind, call, *words):
        """`call` raises `kind`, and its message has all of `words`."""
        try:
            got = call()
        except kind as error:
            missing = [word for word in words if word not in str(error)]
            return self.that(what, not missing, f"no {missing} in {shortened(str(error))}")
        except Exception as error:
            return self.that(what, False, f"raised {type(error).__name__}: {shortened(str(error))}")
        return self.that(what, False, f"raised nothing, gave {shortened(got)}")

    @contextlib.contextmanager
    def case(self, name):
        self.say(f"{name}")
        self.running = name
        began = time.monotonic()
        failed = self.failed
        try:
            yield
        except Exception as error:
            # The innermost frames and the last of a chain: clients wrap one broken connection four times over.
            where = "".join(traceback.format_exception(error, limit=-3, chain=False))
            self.that("the case runs to its end", False, "\n" + where.rstrip())
        self.say(f"  {'done' if failed == self.failed else 'FAILED'} in {time.monotonic() - began:.1f} s")


def shortened(value, length=600):
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]} … ({len(text)} characters)"

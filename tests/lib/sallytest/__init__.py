"""What the end-to-end tests stand on: certificates, programs, upstreams and clients. Only real programs are started; nothing
sleeps to wait for something: poll() looks for an event until it is there, or fails with what it saw."""
import time


def poll(look, what, seconds=20):
    """The first true value of look(). `what` says what was waited for; a callable is asked when it did not come."""
    end = time.monotonic() + seconds
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"did not happen in {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.01)

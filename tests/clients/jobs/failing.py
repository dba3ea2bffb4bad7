"""Fails as most jobs do: with an exception."""

print("about to fail", flush=True)
raise ValueError("the job's own reason")

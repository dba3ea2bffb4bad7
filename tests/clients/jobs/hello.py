"""Prints its arguments, as the recorded runs' Python program did."""

import sys

print("hello from python", sys.argv[1:], flush=True)
print("bye", flush=True)

#!/bin/sh
# job.sh DIARY NAME GATE: notes its name and number, waits at the gate, ends with the code that it is told there. `-` is no gate.
# Told to end, it notes that and goes on waiting. A gate that is gone is a test that is over.
trap 'echo "$2 told" >> "$1"' TERM
echo "$2 $$" >> "$1"
code=0
if [ "$3" != - ]; then
    until read -r code < "$3"; do [ -e "$3" ] || exit 9; done
fi
exit "$code"

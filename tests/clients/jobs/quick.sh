#!/bin/sh
# quick.sh CODE [FOLDER]: ends with the code at once; with a folder, only once FOLDER/go is there. Hundreds of it make a list.
echo "quick $*"
until [ -z "$2" ] || [ -e "$2/go" ]; do [ -d "$2" ] || exit 9; sleep 0.05; done
exit "$1"

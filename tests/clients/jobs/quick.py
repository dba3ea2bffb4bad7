"""quick.sh for a platform that runs no executables:  quick.py CODE [FOLDER]"""

import pathlib
import sys
import time

print("quick", *sys.argv[1:], flush=True)
while len(sys.argv) > 2 and not pathlib.Path(sys.argv[2], "go").exists():
    if not pathlib.Path(sys.argv[2]).is_dir():
        sys.exit(9)
    time.sleep(0.05)
sys.exit(int(sys.argv[1]))

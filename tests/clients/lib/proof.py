"""A proxy where everybody has to prove who he is: its users with their passwords, tokens and keys, and what each may do."""

import secrets
import subprocess

from .proxy import EVERY_DIALECT, OTHER_PROJECT, PROJECT, files_below, holding

USERS = {"ann": "ann's own: with a colon", "bob": "bob's password", "ADMIN": "KYLIN, and more"}
# Made for this run, so that what is found somewhere is a leak and no coincidence.
ANNS_KEY = ("LINGUAANN00000000001", secrets.token_hex(20))
BOBS_KEY = ("LINGUABOB00000000001", secrets.token_hex(20))
ANNS_TOKEN, EXPIRED_TOKEN = secrets.token_hex(600), secrets.token_hex(600)


def proving(house):
    """The proxy, made once for all cases of a run. What runs on it runs without Spark: who may what is not Spark's matter."""
    if not hasattr(house, "proving"):
        passwords = house.root / "passwords"
        for user, password in USERS.items():
            subprocess.run([house.binary, "passwd", "--file", passwords, user], input=password + "\n", text=True, check=True)
        house.proving = house.proxy("proving", dialects=EVERY_DIALECT, concurrency=8, backend=["spark = false"],
                                    sections=sections(passwords), login=("ADMIN", USERS["ADMIN"]))
    return house.proving


def sections(passwords):
    return [
        "[scope]", f'projects = ["{PROJECT}", "{OTHER_PROJECT}"]', 'queues = ["etl", "nightly"]',
        "[auth]", f'password_file = "{passwords}"',
        "[auth.user.ann]", 'queues = ["etl"]', 'run_as = ["eve"]', f'projects = ["{PROJECT}"]',
        "[auth.user.bob]",
        "[auth.user.ADMIN]", "administrator = true",
        "[[auth.token]]", f'token = "{ANNS_TOKEN}"', 'user = "ann"', f'projects = ["{PROJECT}"]',
        "[[auth.token]]", f'token = "{EXPIRED_TOKEN}"', 'user = "ann"', 'expires = "2024-01-31T00:00:00Z"',
        *(line for (access, secret), user, projects in [(ANNS_KEY, "ann", f'["{PROJECT}"]'), (BOBS_KEY, "bob", '["*"]')]
          for line in ("[[auth.key]]", f'access_key = "{access}"', f'secret_key = "{secret}"', f'user = "{user}"',
                       f"projects = {projects}")),
    ]


def leaked(house):
    """The files of the proxy that hold a secret of anybody's, its own configuration aside."""
    known = [*USERS.values(), ANNS_KEY[1], BOBS_KEY[1], ANNS_TOKEN, EXPIRED_TOKEN]
    proxy = house.proving
    paths = [path for path in [*files_below(proxy.dir), proxy.output] if path != proxy.config]
    return holding(paths, [secret.encode() for secret in known])

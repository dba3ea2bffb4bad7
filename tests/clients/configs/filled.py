"""A file of examples/configs as it stands, but for the addresses and folders of the machine that it was written for."""

import json
import os
import pathlib
import subprocess

from lib.proxy import REPOSITORY, Platform, Proxy, files_below, holding

CONFIGS = REPOSITORY / "examples" / "configs"
# What is secret in them.
VARIABLES = {"LIVY_PASSWORD": "livy's own secret", "KYUUBI_PASSWORD": "kyuubi's own secret",
             "DLI_ACCESS_KEY": "LINGUAEXAMPLE0000001", "DLI_SECRET_KEY": "dli's own secret key, of 40 characters.."}


def check(house, file, variables):
    """`batchlingua check` in an environment that has these variables."""
    return subprocess.run(
        [house.binary, "check", file], env={"PATH": os.environ["PATH"], **variables}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=30, cwd=house.root)


class Filled(Proxy):
    """`texts`: what stands in the file, and what is to stand there instead."""

    def __init__(self, house, file, texts):
        super().__init__(house, pathlib.Path(file).stem)
        content = (CONFIGS / file).read_text()
        own = {"/var/lib/batchlingua": str(self.dir), "127.0.0.1:9998": "127.0.0.1:0"}
        for known, ours in {**own, **texts(self)}.items():
            if known not in content:
                raise RuntimeError(f"{file} has no {known}")
            content = content.replace(known, ours)
        self.config.write_text(content)
        self.variables = VARIABLES
        house.proxies.append(self)

    def end_jobs(self):
        """The platforms end them."""


def platform(house, name, kind, password=None, sections=()):
    """A platform of a kind that asks its user etl for this password."""
    if password:
        passwords = house.root / f"{name}-{kind}-passwords"
        subprocess.run([house.binary, "passwd", "--file", passwords, "etl"], input=password + "\n", text=True, check=True)
        sections = ["[auth]", f"password_file = {json.dumps(str(passwords))}", "[auth.user.etl]", "administrator = true"]
    far = Platform(house, name, kind, sections=sections)
    far.configure(far.local("local[2]", 4, []))
    house.proxies.append(far)
    far.start()
    return far


def leaked(proxy):
    """The files of a proxy and of what is behind it that have a secret in them, the platforms' own configurations aside."""
    secrets = [VARIABLES[name].encode() for name in VARIABLES if name != "DLI_ACCESS_KEY"]
    return holding([path for path in [*files_below(proxy.dir), proxy.output] if path.name != "config.toml"], secrets)


"""`batchlingua check` on every example."""

from filled import CONFIGS, VARIABLES, check


def every_file(house, checks):
    """each is right as it stands, and without its secrets it is told which is missing"""
    files = sorted(CONFIGS.glob("*.toml"))
    checks.equal("the examples", [file.stem for file in files], ["kyuubi-to-dli", "livy-to-kyuubi", "sidecar-livy"])
    for file in files:
        good = check(house, file, VARIABLES)
        checks.equal(f"{file.name}: is right", (good.returncode, good.stderr), (0, ""))
        needed = [name for name in VARIABLES if name in file.read_text().replace("LIVY_PASSWORD=…", "")]
        checks.that(f"{file.name}: has a secret", needed)
        for name in needed:
            bad = check(house, file, {known: text for known, text in VARIABLES.items() if known != name})
            told = bad.stdout + bad.stderr
            checks.that(f"{file.name}: without {name}", bad.returncode == 1 and name in told, (bad.returncode, told))
            checks.that("no other secret is shown", not any(text in told for text in VARIABLES.values()), told)


CASES = [every_file]

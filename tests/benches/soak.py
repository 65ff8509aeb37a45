"""How much memory a service takes while hostile content arrives at a steady rate.

    cargo build --workspace
    python3 tests/benches/soak.py target/debug/yagura [SECONDS] [MB_A_SECOND] [SETTING=VALUE …]

Objects are made first, for the time at which they arrive. Then one arrives every second: events whose keys nobody had before, values
of up to a megabyte, a new user in each event, times of other years, deep nesting, text that is no text. Rules that count by user, SQL
with patterns and a Sigma rule evaluate all of it. Resident memory without files is read twice a second. The service must keep up, and
lose no honest alert. Settings, such as `memory_mib=64`, are those of `[serve]`.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

RULES = {
    "bad": """[rule]
id = "bad"
title = "{user}"
table = "app"
where = "kind = 'bad'"
[rule.alert]
key = ["user"]
window = "1m"
""",
    "pattern": """[rule]
id = "pattern"
title = "{user}"
table = "app"
where = "regexp_like(cmd, '(power|p)w?shell.*-e(nc)? [A-Za-z0-9+/]{40}') AND kind <> 'good'"
optional = ["cmd"]
[rule.alert]
key = ["user"]
""",
    "login": """[rule]
id = "login"
title = "{user}"
table = "app"
where = "kind = 'login'"
[rule.alert]
key = ["user"]
report = "none"
""",
    "many": """[rule]
id = "many"
title = "many"
[rule.correlation]
type = "count"
rules = ["login"]
by = ["user"]
within = "10m"
condition = { gte = 5 }
[rule.alert]
window = "10m"
""",
}
SIGMA = """title: evil
id: evil
logsource: {product: app}
detection:
  sel: {cmd|contains: 'invoke-evil'}
  condition: sel
level: high
"""
FIELD_MAP = """name = "app"
tables = ["kind"]
key = ["kind"]
[[source]]
product = "app"
"""
CONFIG = """packs = ["pack"]
sigma = ["sigma"]
field_maps = ["map.toml"]
[lake]
url = "lake"
[serve]
poll = "1s"
first_load = "1s"
lateness = "1m"
"""

# Seconds that one object may take to be made, on the average.
SECONDS_TO_MAKE = 1.5


def lines_of(dice, start, second, size):
    """Makes the lines of one object, of about `size` bytes, with one honest event, that arrives `second` seconds after `start`."""
    start += second
    lines = [json.dumps({"time": start, "kind": "bad", "user": f"honest{second}", "cmd": "x"})]
    used = 0
    while used < size:
        event = {"time": start + dice.random(), "kind": "login", "user": f"u{dice.getrandbits(48)}"}
        choice = dice.random()
        if choice < 0.002:
            event["cmd"] = "x" * dice.randrange(1_000_000)
            event["kind"] = "bad"
        elif choice < 0.01:
            event |= {f"key{dice.getrandbits(40)}": n for n in range(1_000)}
        elif choice < 0.02:
            event["time"] = dice.randrange(700_000_000, 4_000_000_000)
        elif choice < 0.03:
            event["cmd"] = json.loads("[" * 60 + "]" * 60)
        elif choice < 0.05:
            event["user"] = "\u202e\u0000\ud800" + event["user"]
        elif choice < 0.06:
            event["user"] = "u" * dice.randrange(20_000)
        elif choice < 0.2:
            event["cmd"] = "powershell -enc " + "A" * dice.randrange(200)
        line = json.dumps(event)
        used += len(line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def resident(process):
    """Returns the MiB that the process has in memory and that no file has: pages of its binary and libraries do not count."""
    with open(f"/proc/{process.pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status if ":" in line)
    return int(fields["RssAnon"].split()[0]) >> 10


def main():
    binary = os.path.abspath(sys.argv[1])
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 120
    rate = float(sys.argv[3]) if len(sys.argv) > 3 else 10
    place = pathlib.Path(tempfile.mkdtemp())
    for folder in ["pack/rules", "sigma", "lake/app"]:
        (place / folder).mkdir(parents=True)
    (place / "pack/pack.toml").write_text('[pack]\nname = "p"\nversion = "1.0.0"\napi = "0.1.0"\n')
    for name, text in RULES.items():
        (place / f"pack/rules/{name}.toml").write_text(text)
    (place / "sigma/evil.yml").write_text(SIGMA)
    (place / "map.toml").write_text(FIELD_MAP)
    (place / "yagura.toml").write_text(CONFIG + "".join(f"{setting}\n" for setting in sys.argv[4:]))
    dice = random.Random(1)
    made = []
    begun = time.time()
    # Events of the past would all be late, and none would wait or be counted by a correlation.
    start = int(begun + SECONDS_TO_MAKE * seconds)
    for second in range(seconds):
        raw = place / "raw.ndjson"
        raw.write_text(lines_of(dice, start, second, int(rate * 1e6)))
        before = set((place / "staging").rglob("*.parquet"))
        subprocess.run([binary, "ingest", "--table", "app", "--to", place / "staging", raw],
                       capture_output=True, cwd=place)
        made.append(sorted(set((place / "staging").rglob("*.parquet")) - before))
    if time.time() > start:
        sys.exit(f"{seconds} objects took {time.time() - begun:.0f} s to make: raise SECONDS_TO_MAKE")
    time.sleep(start - time.time())
    log = (place / "serve.log").open("w")
    (place / "lake/app/_table.json").write_bytes((place / "staging/app/_table.json").read_bytes())
    service = subprocess.Popen([binary, "serve", "--quiet", "--config", place / "yagura.toml"], stderr=log, cwd=place)
    began, seen = time.monotonic(), []
    for second, objects in enumerate(made):
        while time.monotonic() < began + second:
            time.sleep(0.05)
            if not seen or time.monotonic() >= seen[-1][0] + 0.5:
                seen.append((time.monotonic(), resident(service)))
        for found in objects:
            to = place / "lake" / found.relative_to(place / "staging")
            to.parent.mkdir(parents=True, exist_ok=True)
            os.rename(found, to)
    arrived = time.monotonic()
    alerts = place / "alerts.ndjson"
    wanted = {f"honest{second}" for second in range(seconds)}
    while wanted and service.poll() is None and time.monotonic() < arrived + 600:
        text = alerts.read_text() if alerts.exists() else ""
        told = (json.loads(line)["alert"] for line in text.splitlines(keepends=True) if line.endswith("\n"))
        wanted -= {alert["key"] for alert in told if alert["rule"] == "bad"}
        seen.append((time.monotonic(), resident(service)))
        time.sleep(0.5)
    behind = time.monotonic() - arrived
    if service.poll() is not None:
        sys.exit(f"the service ended with {service.returncode}: {(place / 'serve.log').read_text()[-4000:]}")
    service.terminate()
    service.wait()
    memory = [megabytes for _, megabytes in seen]
    third = max(1, len(memory) // 3)
    print(f"{seconds} s at {rate} MB/s; the last honest alert came {behind:.1f} s after the last object; missing: {len(wanted)}")
    print(f"resident MiB at most: {max(memory[:third])} in the first third, {max(memory[third:2 * third])} in the second, "
          f"{max(memory[2 * third:])} in the last")
    if wanted:
        sys.exit((place / "serve.log").read_text()[-4000:])
    shutil.rmtree(place)


if __name__ == "__main__":
    main()

"""Makes the state of format 1: run it with the `yagura` of commit ea252a4 on the PATH, in an empty directory.

The rules are those of `format-1.rules.toml`. The long texts are there so that keys are spilled at 1 MiB of memory.
"""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LONG = "x" * 990


def event(second, user, ip, outcome="failure", size=100, agent="curl"):
    time = f"2026-03-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
    place = {"lat": 35.68, "lon": 139.69}
    return {"time": time, "user": user, "ip": ip, "outcome": outcome, "bytes": size, **place, "agent": agent}


def serve(events):
    with open("raw.ndjson", "w") as file:
        file.writelines(json.dumps(one) + "\n" for one in events)
    subprocess.run(["yagura", "ingest", "--table", "logins", "--to", "lake", "raw.ndjson"], check=True)
    subprocess.run(["yagura", "serve", "--once", "--config", "yagura.toml"], check=True)


os.makedirs("pack/rules")
with open("pack/pack.toml", "w") as file:
    file.write('[pack]\nname = "p"\nversion = "1.0.0"\napi = "0.1.0"\n')
with open("yagura.toml", "w") as file:
    file.write('packs = ["pack"]\n[lake]\nurl = "lake"\n[serve]\nlateness = "2m"\nmemory_mib = 1\n')
with open(os.path.join(HERE, "format-1.rules.toml")) as file:
    for number, rule in enumerate(file.read().split("---\n")):
        with open(f"pack/rules/rule-{number:02}.toml", "w") as out:
            out.write(rule)
serve([event(60 + n // 2, f"user-{n % 14}", f"10.0.0.{n % 14}", size=1, agent=f"{n // 14}-{LONG}") for n in range(14 * 85)])
serve([event(1500, "ana", "10.0.0.1"), event(1510, "ana", "10.0.0.2"), event(1520, "eve", "10.0.0.9")])
serve([event(1700, "bob", "10.0.0.3"), event(1790, "ana", "10.0.0.1"), event(1795, "bob", "10.0.0.3", "success")])
if "--go-on" in sys.argv:
    # The alerts of `format-1.alerts.txt`.
    serve([event(1900, "ana", "10.0.0.1"), event(1910, "user-3", "10.0.0.3", size=1, agent=f"5-{LONG}"),
           event(1920, "user-4", "10.0.0.4", size=1, agent="new"), event(1930, "ana", "10.0.0.1", "success")])
    serve([event(5000, "zoe", "10.0.0.5")])

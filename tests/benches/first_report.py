"""How long it takes from the arrival of an object to the first report about it, under load.

    cargo build --workspace && yagura build plugins/notifiers
    python3 tests/benches/first_report.py target/debug/yagura [SECONDS] [EVENTS] [TABLES]

A service with default settings, one notifier (the signed webhook) and 40 rules watches TABLES tables. Every second an object of
EVENTS events arrives in each, in one of them with a failed login of a user whom no object had before. Measured is the time from
the moment at which the object is there under its name to the moment at which the receiver has the report of that user.
"""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = 40
seen = {}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        now = time.monotonic()
        report = json.loads(self.rfile.read(int(self.headers["content-length"])))
        for alert in report["alerts"]:
            seen.setdefault(alert["key"], now)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass


def object_of(binary, place, table, second, events, user):
    """Ingests an object apart, and returns its path there and below the lake."""
    raw = place / "raw.ndjson"
    with raw.open("w") as lines:
        for n in range(events):
            at = f"2026-03-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{n % 1000:03}Z"
            outcome = "failure" if n == 0 else "success"
            line = {"time": at, "user": user if n == 0 else f"u{n % 500}", "ip": f"10.0.{n % 7}.{n % 250}",
                    "outcome": outcome, "agent": f"agent/{n % 40}", "bytes": n}
            lines.write(json.dumps(line) + "\n")
    staging = place / f"staging-{table}-{second}"
    subprocess.run([binary, "ingest", "--table", table, "--to", staging, raw], check=True, capture_output=True)
    found = next(staging.rglob("*.parquet"))
    return found, found.relative_to(staging)


def main():
    binary = sys.argv[1]
    seconds, events, tables = (int(sys.argv[n]) if len(sys.argv) > n else default
                               for n, default in ((2, 60), (3, 20_000), (4, 3)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    place = pathlib.Path(tempfile.mkdtemp())
    try:
        names = [f"logins{n}" for n in range(tables)]
        (place / "pack/rules").mkdir(parents=True)
        (place / "pack/pack.toml").write_text('[pack]\nname = "p"\nversion = "1.0.0"\napi = "0.1.0"\n')
        for n in range(RULES):
            where = "outcome = 'failure'" if n < tables else f"agent = 'agent/{n}' AND bytes < 0"
            (place / f"pack/rules/r{n}.toml").write_text(
                f'[rule]\nid = "r{n}"\ntitle = "{{user}} failed"\ntable = "{names[n % tables]}"\nwhere = "{where}"\n'
                '[rule.observables]\nuser = ["user"]\n[rule.alert]\nkey = ["user"]\n')
        (place / "yagura.toml").write_text(
            f'packs = ["pack", "{ROOT}/plugins/notifiers"]\npolicy = "policy.toml"\ngrants = "grants.toml"\n'
            f'[lake]\nurl = "lake"\n[serve]\n[secret.hook]\nfile = "hook"\n'
            + "".join(f"[table.{name}]\n" for name in names))
        (place / "hook").write_text("a key for a benchmark\n")
        (place / "policy.toml").write_text(
            f'[notifier.hook]\nplugin = "notifiers/webhook.wasm"\nconfig = {{ url = "{url}/", secret = "hook" }}\n'
            '[[route]]\nnotify = ["hook"]\n[flood]\nincidents = 100000\nper = "1h"\n')
        (place / "grants.toml").write_text(
            f'[pack.notifiers]\nhttp = ["{url}"]\nnetworks = ["127.0.0.0/8"]\nsecrets = {{ hook = ["127.0.0.1"] }}\n')
        print(f"making {seconds * tables} objects of {events} events", flush=True)
        objects = [[object_of(binary, place, name, second, events, f"m{second}" if n == second % tables else "u0")
                    for n, name in enumerate(names)] for second in range(seconds)]
        (place / "lake").mkdir()
        service = subprocess.Popen([binary, "serve", "--quiet", "--config", place / "yagura.toml"])
        time.sleep(3)
        arrived = {}
        for second, row in enumerate(objects):
            start = time.monotonic()
            for (found, below), name in zip(row, names):
                target = place / "lake" / below
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, target.with_suffix(".part"))
                target.with_suffix(".part").rename(target)
            arrived[f"m{second}"] = time.monotonic()
            time.sleep(max(0, 1 - (time.monotonic() - start)))
        time.sleep(8)
        service.terminate()
        service.wait()
        missing = [user for user in arrived if user not in seen]
        delays = sorted(seen[user] - at for user, at in arrived.items() if user in seen)
        print(f"{len(delays)} reports, {len(missing)} missing {missing[:3]}")
        print(f"median {statistics.median(delays):.2f} s, 95 % {delays[int(len(delays) * 0.95) - 1]:.2f} s, "
              f"longest {delays[-1]:.2f} s")
    finally:
        shutil.rmtree(place)


main()

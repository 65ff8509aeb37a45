#!/usr/bin/env python3
"""Measure `yagura search` over many events, with an index, without one, and DuckDB beside it.

usage: search.py BINARY ROWS DIR [--lake URL]

Writes three tables with ROWS events together below DIR, unless they are there: logins, DNS queries and web requests of 90 days as
Parquet. Ten events of all of them have the address 203.0.113.77. With --lake the searches run over a copy of DIR/lake at that URL, which
the caller has made. Needs the package `duckdb`.
"""
import json
import os
import resource
import subprocess
import sys
import time

import duckdb

ROWS_PER_FILE = 1_000_000
DAYS = 90
NEEDLE = "203.0.113.77"
TABLES = {
    "logins": "'user' || (hash(i, 1) % 20000) as user, '10.' || (hash(i, 2) % 64) || '.' || (hash(i, 3) % 256) || '.' || (hash(i, 4) % 256) as src_ip, 'host' || (hash(i, 5) % 3000) || '.corp.example' as hostname, case hash(i, 6) % 20 when 0 then 'failure' else 'success' end as outcome",
    "dns": "'h' || (hash(i, 1) % 200000) || '.example.org' as query, '10.' || (hash(i, 2) % 64) || '.' || (hash(i, 3) % 256) || '.' || (hash(i, 4) % 256) as client_ip, 'A' as qtype, 'NOERROR' as rcode",
    "web": "'10.' || (hash(i, 2) % 64) || '.' || (hash(i, 3) % 256) || '.' || (hash(i, 4) % 256) as src_ip, '198.51.' || (hash(i, 7) % 100) || '.' || (hash(i, 8) % 256) as dst_ip, [80, 443, 8080][(1 + hash(i, 9) % 3)::bigint] as dst_port, '/p/' || (hash(i, 10) % 50000) as path, 'request ' || hash(i, 11) || ' was served' as message",
}
ADDRESS = {"logins": "src_ip", "dns": "client_ip", "web": "dst_ip"}


def generate(rows, lake):
    db = duckdb.connect()
    db.execute("set threads=2; set memory_limit='4GB'")
    for place, (table, columns) in enumerate(TABLES.items()):
        folder = os.path.join(lake, table)
        count = rows // len(TABLES)
        os.makedirs(folder, exist_ok=True)
        # The places of this table's share of the ten events.
        needles = [int((at + 0.5) * count / 10) for at in range(10) if at % 3 == place]
        for start in range(0, count, ROWS_PER_FILE):
            path = os.path.join(folder, f"part-{start:012}.parquet")
            if os.path.exists(path):
                continue
            end = min(start + ROWS_PER_FILE, count)
            address = ADDRESS[table]
            chosen = ",".join(str(needle) for needle in needles) or "-1"
            db.execute(
                f"copy (select * exclude (i) replace (case when i in ({chosen}) then '{NEEDLE}' else {address} end as {address}) from "
                f"(select i, timestamp '2026-01-01' + to_microseconds((i::hugeint * {DAYS * 86_400_000_000} // {count})::bigint) as event_time, {columns} "
                f"from range({start}, {end}) as r(i))) to '{path}.part' (format parquet, compression zstd, row_group_size 122880)"
            )
            os.rename(f"{path}.part", path)


def timed(command):
    """Runs a command, and returns its seconds, CPU seconds, output and what it says."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    ran = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode != 0:
        sys.exit(f"{command} failed: {ran.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, ran.stdout, ran.stderr


def size(folder):
    return sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(folder) for name in names)


def main():
    arguments = sys.argv[1:]
    url = None
    if "--lake" in arguments:
        at = arguments.index("--lake")
        url = arguments[at + 1]
        del arguments[at : at + 2]
    if len(arguments) != 3:
        sys.exit(__doc__)
    binary, rows, folder = arguments[0], int(arguments[1]), arguments[2]
    local = os.path.join(folder, "lake")
    generate(rows, local)
    lake = url or local
    seconds, cpu, _, _ = timed([binary, "table", "index", "--lake", lake])
    index = sum(size(os.path.join(local, table, "_index")) for table in TABLES)
    if not url:
        print(f"index: {seconds:.1f} s, {cpu:.1f} s CPU, {index / rows:.2f} bytes an event of {size(local) / rows:.2f}")
    queries = [f"ip:{NEEDLE}", NEEDLE, "user:user77", "domain:h77.example.org", f"src_ip:10.1.2.3 AND dst_port:443", "ip:192.0.2.99"]
    for query in queries:
        for what, more in [("index", []), ("no index", ["--no-index"])]:
            runs = [timed([binary, "search", "--lake", lake, "--format", "json", "--limit", "0", query, *more]) for _ in range(3)]
            best = min(runs)
            said = best[3].strip().splitlines()[-1] if best[3].strip() else ""
            found = len(best[2].splitlines())
            all_runs = ", ".join(f"{run[0]:.2f}" for run in runs)
            print(f"{query} | {what} | {found} events | {all_runs} s | {best[1]:.2f} s CPU | {said}")
    db = duckdb.connect()
    db.execute("set threads=2")
    for _ in range(3):
        start = time.monotonic()
        found = sum(
            len(db.execute(f"select * from read_parquet('{local}/{table}/part-*.parquet') where {' or '.join(f'{column} = $1' for column in columns)}", [NEEDLE]).fetchall())
            for table, columns in [("logins", ["src_ip"]), ("dns", ["client_ip"]), ("web", ["src_ip", "dst_ip"])]
        )
        print(f"DuckDB, columns of addresses = {NEEDLE} | {found} events | {time.monotonic() - start:.2f} s")
    seconds, _, out, said = timed([binary, "search", "--lake", lake, "--prevalence", "--format", "json", f"ip:{NEEDLE}"])
    print(f"prevalence | {sum(json.loads(line)['events'] for line in out.splitlines())} events | {seconds:.2f} s")


if __name__ == "__main__":
    main()

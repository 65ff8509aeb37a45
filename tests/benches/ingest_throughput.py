"""What a gigabyte of raw logs costs in processor time, side by side: `yagura ingest` plain and with a source, DuckDB, and the parser of
evtx_dump.

    pip install duckdb==2.0.1 evtx==0.14.0
    python3 tests/benches/ingest_throughput.py target/release/yagura [EVENTS] [ROUNDS]

All contenders read the same files, one after another, in ROUNDS rounds; the least user and system time of each counts. All write Parquet
with zstd, in which each event is a row; DuckDB gets one thread. The files are made of the samples of the first-party sources, with other
times, addresses, names and ids in each event.
"""

import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "plugins/sources/sources"


def changed(line, n, rng):
    """Returns a line of a sample with other times, addresses, ids and names, so that few values of two events are equal."""
    line = re.sub(r"(?<=2026-03-0)\d(?=T)", lambda _: str(1 + n % 9), line)
    line = re.sub(r"T\d\d:\d\d:\d\d", f"T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}", line)
    line = re.sub(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])", f"203.0.{rng.randrange(256)}.{rng.randrange(256)}", line)
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                  lambda _: f"{rng.getrandbits(32):08x}-0000-4000-8000-{rng.getrandbits(48):012x}", line)
    return line.replace("ana@", f"user{rng.randrange(5000)}@").replace(" ana ", f" user{rng.randrange(5000)} ")


def of_samples(path, sample, events):
    lines = [line for line in sample.read_text().splitlines() if line.strip()]
    rng = random.Random(7)
    with path.open("w") as out:
        for n in range(events):
            out.write(changed(lines[n % len(lines)], n, rng) + "\n")


def csv_of(path, events):
    rng = random.Random(7)
    with path.open("w") as out:
        out.write("timestamp,src_ip,dst_ip,src_port,dst_port,user,action,bytes,url,agent\n")
        for n in range(events):
            at = f"2026-03-0{1 + n % 9}T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z"
            out.write(f'{at},203.0.{rng.randrange(256)}.{rng.randrange(256)},10.0.0.{rng.randrange(256)},{rng.randrange(65536)},'
                      f'443,user{rng.randrange(5000)},{rng.choice(["allow", "deny"])},{rng.randrange(10**6)},'
                      f'"https://example.com/{rng.getrandbits(64):x}?a=1,2","Mozilla/5.0 (X11; Linux x86_64) agent/{rng.randrange(40)}"\n')


CSV_SOURCE = """
[source]
name = "bench_csv"
title = "Connections of a proxy"
format = "csv"
time = ["timestamp"]

[[class]]
name = "http_activity"

[class.columns]
activity_id = "99"
severity_id = "1"
src_endpoint.ip = "src_ip"
src_endpoint.port = "src_port"
dst_endpoint.ip = "dst_ip"
dst_endpoint.port = "dst_port"
actor.user.name = "\\"user\\""
http_request.url.url_string = "url"
http_request.url.hostname = "parse_url(url, 'host')"
http_request.user_agent = "agent"
traffic.bytes = "bytes"
action_id = "CASE action WHEN 'allow' THEN 1 WHEN 'deny' THEN 2 ELSE 99 END"
"""


class Evtx:
    """Writes EVTX files: logons that share a template in each chunk, as Windows writes them."""

    def __init__(self, path):
        self.out = path.open("wb")
        header = struct.pack("<8sQQQIHHHH", b"ElfFile\0", 0, 0, 1, 128, 1, 3, 4096, 1).ljust(4096, b"\0")
        self.out.write(header)
        self.number = 0
        self.begin()

    def begin(self):
        self.chunk, self.first, self.template, self.last = bytearray(512), self.number + 1, None, 0

    @staticmethod
    def name(at, text):
        return struct.pack("<IIHH", at + 4, 0, 0, len(text)) + text.encode("utf-16le") + b"\0\0"

    def definition(self, at):
        body = bytearray(b"\x0f\1\1\0")

        def put(data):
            body.extend(data)

        def start(text, token=0x01):
            put(bytes([token]) + b"\xff\xff\0\0\0\0")
            put(self.name(at + 24 + len(body), text))
            if token == 0x41:
                put(b"\0\0\0\0")

        def attribute(text):
            put(b"\x06")
            put(self.name(at + 24 + len(body), text))

        def text(value):
            put(b"\x05\x01" + struct.pack("<H", len(value)) + value.encode("utf-16le"))

        def element(name, index):
            start(name)
            put(b"\x02\x0d" + struct.pack("<HB", index, 1) + b"\x04")

        start("Event", 0x41)
        attribute("xmlns")
        text("http://schemas.microsoft.com/win/2004/08/events/event")
        put(b"\x02")
        start("System")
        put(b"\x02")
        start("Provider", 0x41)
        attribute("Name")
        text("Microsoft-Windows-Security-Auditing")
        put(b"\x03")
        element("EventID", 0)
        element("EventRecordID", 1)
        start("TimeCreated", 0x41)
        attribute("SystemTime")
        put(b"\x0d" + struct.pack("<HB", 2, 0x11) + b"\x03")
        element("Channel", 3)
        element("Computer", 4)
        put(b"\x04")
        start("EventData")
        put(b"\x02")
        for index, field in enumerate(["TargetUserName", "TargetDomainName", "LogonType", "IpAddress", "ProcessName", "LogonId"], 5):
            start("Data", 0x41)
            attribute("Name")
            text(field)
            put(b"\x02\x0d" + struct.pack("<HB", index, 1) + b"\x04")
        put(b"\x04\x04\0")
        return struct.pack("<I", 0) + b"\x07" * 16 + struct.pack("<I", len(body)) + bytes(body)

    def add(self, values):
        at = len(self.chunk)
        record = bytearray(struct.pack("<IIQQ", 0x00002A2A, 0, self.number + 1, 0))
        record += b"\x0f\1\1\0\x0c\x01" + b"\x07\0\0\0"
        if self.template is None:
            place = at + len(record) + 4
            record += struct.pack("<I", place) + self.definition(place)
            template = place
        else:
            template = None
            record += struct.pack("<I", self.template)
        record += struct.pack("<I", len(values))
        for kind, data in values:
            record += struct.pack("<HBB", len(data), kind, 0)
        for _, data in values:
            record += data
        record += b"\0"
        size = len(record) + 4
        record += struct.pack("<I", size)
        struct.pack_into("<I", record, 4, size)
        if at + size > 65_536:
            self.end()
            self.begin()
            return self.add(values)
        self.template = self.template or template
        self.last = at
        self.chunk += record
        self.number += 1

    def end(self):
        free = len(self.chunk)
        chunk = self.chunk.ljust(65_536, b"\0")
        struct.pack_into("<8sQQQQIIII", chunk, 0, b"ElfChnk\0", self.first, self.number, self.first, self.number, 128, self.last, free,
                         zlib.crc32(chunk[512:free]))
        struct.pack_into("<I", chunk, 124, zlib.crc32(chunk[:120] + chunk[128:512]))
        self.out.write(chunk)

    def close(self):
        self.end()
        chunks = (self.out.tell() - 4096) // 65_536
        self.out.seek(0)
        header = struct.pack("<8sQQQIHHHH", b"ElfFile\0", 0, chunks - 1, self.number + 1, 128, 1, 3, 4096, chunks).ljust(4096, b"\0")
        header = bytearray(header)
        struct.pack_into("<I", header, 124, zlib.crc32(header[:120]))
        self.out.write(header)
        self.out.close()


def evtx_of(path, events):
    rng = random.Random(7)
    file = Evtx(path)
    for n in range(events):
        utf16 = lambda text: (0x01, text.encode("utf-16le"))
        time = (1_772_359_872 + n + 11_644_473_600) * 10_000_000
        file.add([
            (0x06, struct.pack("<H", rng.choice([4624, 4625, 4634]))),
            (0x0A, struct.pack("<Q", n + 1)),
            (0x11, struct.pack("<Q", time)),
            utf16("Security"),
            utf16(f"host{rng.randrange(300)}.example.com"),
            utf16(f"user{rng.randrange(5000)}"),
            utf16("EXAMPLE"),
            (0x08, struct.pack("<I", rng.choice([2, 3, 10]))),
            utf16(f"203.0.{rng.randrange(256)}.{rng.randrange(256)}"),
            utf16("C:\\Windows\\System32\\lsass.exe"),
            (0x15, struct.pack("<Q", rng.getrandbits(40))),
        ])
    file.close()


def run(command):
    """Runs a command, and returns its user and system time in seconds."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {status}\n{output.decode()}")
    return usage.ru_utime + usage.ru_stime, output


def duckdb(query):
    code = f"import duckdb\nc = duckdb.connect()\nc.execute('SET threads = 1')\nc.execute({query!r})"
    return [sys.executable, "-c", code]


def main():
    binary = sys.argv[1]
    events = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    place = pathlib.Path(tempfile.mkdtemp(prefix="yagura-ingest-"))
    files = {name: place / name for name in ["okta.ndjson", "proxy.csv", "auth.log", "security.evtx"]}
    of_samples(files["okta.ndjson"], SOURCES / "okta/audit.ndjson", events)
    # Short events are more, so that no contender's start counts much.
    csv_of(files["proxy.csv"], 5 * events)
    of_samples(files["auth.log"], SOURCES / "sshd/auth.log", 5 * events)
    evtx_of(files["security.evtx"], 2 * events)
    source = place / "bench_csv.toml"
    source.write_text(CSV_SOURCE)
    lake = place / "lake"
    parquet = place / "out.parquet"

    def yagura(*arguments):
        return [binary, "ingest", "--to", str(lake), *map(str, arguments)]

    def to_parquet(query):
        return duckdb(f"COPY ({query}) TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)")

    ndjson, table, syslog, evtx = map(str, files.values())
    pattern = r"^(\S+) (\S+) ([^\[:]+)(?:\[(\d+)\])?: (.*)$"
    columns = "['time', 'host', 'app', 'pid', 'message']"
    evtx_dump = f"import evtx\nfor r in evtx.PyEvtxParser({evtx!r}).records_json(): r['data']"
    contenders = [
        ("NDJSON", ndjson, events, [
            ("DuckDB", to_parquet(f"SELECT * FROM read_ndjson_auto('{ndjson}')")),
            ("DuckDB, and the source text", to_parquet(
                f"SELECT json, json->>'$.published' AS t, json->>'$.eventType' AS e, json->>'$.actor.alternateId' AS u "
                f"FROM read_ndjson_objects('{ndjson}')")),
            ("yagura", yagura("--table", "t", ndjson)),
            ("yagura, source okta", yagura("--source", "okta", ndjson)),
        ]),
        ("CSV", table, 5 * events, [
            ("DuckDB", to_parquet(f"SELECT * FROM read_csv_auto('{table}')")),
            ("yagura", yagura("--table", "t", table)),
            ("yagura, a source of 12 columns", yagura("--source", source, table)),
        ]),
        ("syslog", syslog, 5 * events, [
            ("DuckDB, one regular expression", to_parquet(
                f"SELECT unnest(regexp_extract(line, '{pattern}', {columns})) FROM "
                f"read_csv('{syslog}', columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', header = false)")),
            ("yagura", yagura("--table", "t", syslog)),
            ("yagura, source sshd", yagura("--source", "sshd", syslog)),
        ]),
        ("EVTX", evtx, 2 * events, [
            ("evtx (the parser of evtx_dump), to JSON in memory", [sys.executable, "-c", evtx_dump]),
            ("yagura", yagura("--table", "t", evtx)),
            ("yagura, source windows", yagura("--source", "windows", evtx)),
        ]),
    ]
    start = {module: min(run([sys.executable, "-c", f"import {module}"])[0] for _ in range(3)) for module in ["duckdb", "evtx"]}
    print(f"{rounds} rounds; the start of Python with duckdb ({start['duckdb']:.2f} s) and evtx ({start['evtx']:.2f} s) is subtracted\n")
    print("| file | events | MB | contender | CPU s | MB/s a core | times as fast as the first |")
    print("|---|---:|---:|---|---:|---:|---:|")
    for name, path, count, of_file in contenders:
        size = os.path.getsize(path) / 1e6
        best = {}
        for _ in range(rounds):
            for contender, command in of_file:
                shutil.rmtree(lake, ignore_errors=True)
                parquet.unlink(missing_ok=True)
                seconds, output = run(command)
                if command[0] == binary and f"{count:,} events" not in output.decode():
                    sys.exit(f"{contender} lost events: {output.decode()}")
                if command[0] != binary:
                    seconds -= start["evtx" if name == "EVTX" else "duckdb"]
                best[contender] = min(best.get(contender, seconds), seconds)
        first = next(iter(best.values()))
        for contender, seconds in best.items():
            print(f"| {name} | {count:,} | {size:.0f} | {contender} | {seconds:.2f} | {size / seconds:.0f} | {first / seconds:.2f} |", flush=True)
    shutil.rmtree(place)


main()

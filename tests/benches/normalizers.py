"""Ingests the same lines by SQL and through a plugin in each language, in turn, and prints records a second.

    cargo build --release
    python3 tests/benches/normalizers.py target/release/yagura [LINES] [ROUNDS]

The lines are `2026-02-03T04:05:06Z|lobby|open|user17|192.0.2.1`; every source gives the same rows. A round ingests them once by
each source into a new lake, so the figure is that of `yagura ingest` as a whole: reading, parsing, mapping, writing Parquet.
"""

import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MAPPING = """
[source.columns]
metadata.product.name = "'Door'"
metadata.product.vendor_name = "'Example'"
src_endpoint.ip = "reader"
dst_endpoint.hostname = "door"

[[class]]
name = "authentication"

[class.columns]
activity_id = "1"
status_id = "CASE what WHEN 'open' THEN 1 ELSE 2 END"
severity_id = "1"
user.name = "lower(who)"
"""

SQL = """
[source]
name = "door"
title = "Door controllers"
format = "text"
time = ["time"]

[source.fields]
time = "split_part(message, '|', 1)"
door = "split_part(message, '|', 2)"
what = "split_part(message, '|', 3)"
who = "split_part(message, '|', 4)"
reader = "split_part(message, '|', 5)"
"""

PLUGIN = """
[source]
name = "door"
title = "Door controllers"
plugin = "normalizer.wasm"
time = ["time"]
"""

RUST = """use yagura_sdk::prelude::*;

struct Door;

impl Normalizer for Door {
    fn open(_: &Config) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn parse(&mut self, record: &[u8], events: &mut ParsedEvents) -> Result<(), Malformed> {
        let mut fields = std::str::from_utf8(record)?.split('|');
        let mut event = events.add();
        for name in ["time", "door", "what", "who", "reader"] {
            event = event.text(name, fields.next().ok_or("a field is missing")?);
        }
        Ok(())
    }
}

yagura_sdk::normalizer!(Door);
"""

GO = """package main

import (
	"errors"
	"strings"

	"github.com/yagura/yagura/sdk/go/normalizer"
	"github.com/yagura/yagura/sdk/go/plugin"
)

type door struct{}

func init() {
	normalizer.Serve(func(*plugin.Config) (normalizer.Normalizer, error) { return door{}, nil })
}

func (door) Parse(record []byte, events *normalizer.Events) error {
	event, rest := events.Add(), string(record)
	for _, name := range []string{"time", "door", "what", "who"} {
		value, after, found := strings.Cut(rest, "|")
		if !found {
			return errors.New("a field is missing")
		}
		event.Text(name, value)
		rest = after
	}
	event.Text("reader", rest)
	return nil
}

func main() {}
"""

PYTHON = """from yagura import Normalizer

NAMES = ("time", "door", "what", "who", "reader")


class Door(Normalizer):
    def parse(self, record: bytes) -> dict[str, str]:
        return dict(zip(NAMES, record.decode().split("|"), strict=True))
"""

CODE = {
    "rust": ("normalizer/src/lib.rs", RUST),
    "go": ("normalizer/main.go", GO),
    "python": ("normalizer/door.py", PYTHON),
}


def run(*command: object) -> str:
    """Runs a command and returns what it printed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    yagura = pathlib.Path(sys.argv[1]).resolve()
    lines = int(sys.argv[2]) if len(sys.argv) > 2 else 500_000
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        log = place / "door.log"
        with log.open("w") as out:
            for n in range(lines):
                minute, second, what = n // 60 % 60, n % 60, "open" if n % 7 else "refused"
                out.write(f"2026-02-03T04:{minute:02}:{second:02}Z|door{n % 40}|{what}|USER{n % 997}|192.0.2.{n % 250}\n")
        sources = {"SQL": place / "sql"}
        (place / "sql/sources").mkdir(parents=True)
        (place / "sql/pack.toml").write_text('[pack]\nname = "sql"\nversion = "0.1.0"\napi = "0.1.0"\n')
        (place / "sql/sources/door.toml").write_text(SQL + MAPPING)
        for language, (file, code) in CODE.items():
            pack = sources[language] = place / language
            run(yagura, "new", "--world", "normalizer", "--lang", language, pack)
            (pack / file).write_text(code)
            (pack / "sources/door/door.toml").write_text(PLUGIN + MAPPING)
            run(yagura, "build", pack)
        taken: dict[str, list[float]] = {name: [] for name in sources}
        for turn in range(rounds + 1):
            for name, pack in sources.items():
                lake = place / "lake"
                shutil.rmtree(lake, ignore_errors=True)
                start = time.monotonic()
                said = run(yagura, "ingest", "--source", "door", "--pack", pack, "--to", lake, log)
                seconds = time.monotonic() - start
                if not re.match(rf"door: {lines:,} events", said):
                    sys.exit(f"{name}: {said}")
                # The first round compiles plugins and warms the cache.
                if turn > 0:
                    taken[name].append(seconds)
        best = statistics.median(taken["SQL"])
        print(f"| {lines:,} records, {rounds} rounds | records a second | to SQL |\n|---|---:|---:|")
        for name, seconds in taken.items():
            median = statistics.median(seconds)
            print(f"| {name} | {lines / median:,.0f} | {best / median:.2f} |")


main()

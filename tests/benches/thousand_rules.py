"""Writes a pack of a thousand rules, each with code of its own, in one component.

    python3 tests/benches/thousand_rules.py DIR python|go
    yagura build DIR
    yagura run --lake LAKE --pack DIR      # the second time starts from the cache
"""

import pathlib
import sys

RULES = 1000

PACK = """[pack]
name = "thousand"
version = "0.1.0"
api = "0.1.0"

[[plugin]]
file = "detector.wasm"
world = "detector"
source = "detector"
"""

RULE = """[rule]
id = "rule-{number:04}"
title = "Rule {number}"
table = "aws_cloudtrail"
where = "event_name = 'Event{number}'"
columns = ["user_type", "source_ip"]
plugin = "detector.wasm"
"""

PYTHON = """from yagura import Event, detector


@detector("rule-{number:04}")
def evaluate(event: Event) -> bool:
    return event["user_type"] == "Root" and event["source_ip"] != "10.0.0.{host}"
"""

GO = """package main

import yagura "github.com/yagura/yagura/sdk/go"

type root struct {
	user, address yagura.TextColumn
	own           string
}

func (d *root) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	for row := range batch.Rows() {
		if d.user.Or(row, "") == "Root" && d.address.Or(row, "") != d.own {
			findings.Row(row)
		}
	}
	return nil
}

func detect(id, own string) {
	yagura.Detect(id, func(rule *yagura.Rule) (yagura.Detector, error) {
		return &root{rule.Text("user_type"), rule.Text("source_ip"), own}, nil
	})
}

func main() {}

func init() {
"""

GO_MODULE = """module detector

go 1.25

require github.com/yagura/yagura/sdk/go v0.1.0

replace github.com/yagura/yagura/sdk/go => ../.yagura/sdk/go
"""


def main(directory: str, language: str) -> None:
    pack = pathlib.Path(directory)
    detector = pack / "detector"
    for folder in (pack / "rules", detector):
        folder.mkdir(parents=True, exist_ok=True)
    (pack / "pack.toml").write_text(PACK)
    for number in range(RULES):
        (pack / f"rules/rule-{number:04}.toml").write_text(RULE.format(number=number))
    if language == "python":
        for number in range(RULES):
            text = PYTHON.format(number=number, host=number % 250)
            (detector / f"rule_{number:04}.py").write_text(text)
    else:
        lines = "".join(f'\tdetect("rule-{number:04}", "10.0.0.{number % 250}")\n' for number in range(RULES))
        (detector / "main.go").write_text(GO + lines + "}\n")
        (detector / "go.mod").write_text(GO_MODULE)


if __name__ == "__main__":
    main(*sys.argv[1:3])

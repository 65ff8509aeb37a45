"""Enrichers, reviewers and notifiers, and what they ask of the host."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from yagura import (
    Alert,
    Attribute,
    Attributes,
    Config,
    ConfigError,
    DataError,
    Enriched,
    Enricher,
    Notifier,
    Observable,
    Assessment,
    PluginError,
    Report,
    RetryError,
    Reviewer,
    Severity,
    Verdict,
    http,
    lookup,
    search,
)
from yagura.alert import format_time
from yagura.serving import Serving, author_of
from yagura.testing import Events, Lookups, Reply, Server, Tables, alert, enrich, notify, report, review


def enricher(work: Callable[[Alert, Enriched], None]) -> type[Enricher]:
    class Made(Enricher):
        def enrich(self, alert: Alert, enriched: Enriched) -> None:
            work(alert, enriched)

    return Made


def reviewer(answer: Any) -> type[Reviewer]:
    class Made(Reviewer):
        def review(self, alert: Alert, attributes: Attributes) -> Any:
            return answer

    return Made


def notifier(work: Callable[[Report], Any]) -> type[Notifier]:
    class Made(Notifier):
        def notify(self, report: Report) -> Any:
            return work(report)

    return Made


def test_what_is_found_is_text_and_what_is_absent_is_left_out() -> None:
    def work(about: Alert, enriched: Enriched) -> None:
        enriched.attribute("port", 22, "test")
        enriched.attribute("nothing", None, "test")
        enriched.attribute("empty", "", "test")
        enriched.observable(Observable.IP, "10.0.0.1")
        enriched.observable("host", None)
        enriched.attributes.append(Attribute("half \ud800", True, "test"))  # type: ignore[arg-type]

    found = enrich(enricher(work), alert())
    assert found.attributes == [Attribute("port", "22", "test"), Attribute("half ?", "true", "test")]
    assert found.observables == [("ip", "10.0.0.1")]


def test_failures_say_what_to_do_and_where_they_were() -> None:
    def broken(about: Alert, enriched: Enriched) -> None:
        [][1]

    def lasting(error: Exception) -> Callable[[Alert, Enriched], None]:
        def work(about: Alert, enriched: Enriched) -> None:
            raise error

        return work

    line = inspect.getsourcelines(broken)[1] + 1
    with pytest.raises(DataError, match=rf"^IndexError: list index out of range \(test_answering.py:{line} in "):
        enrich(enricher(broken), alert())
    for error, kind in (
        (RetryError("later"), RetryError),
        (http.Timeout(), RetryError),
        (http.TooLarge(), DataError),
        (http.Denied("grant it"), ConfigError),
        (SystemExit(3), DataError),
    ):
        with pytest.raises(kind):
            enrich(enricher(lasting(error)), alert())  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the enricher was not opened"):
        Serving(enricher(broken), "").enrich(alert())
    with pytest.raises(DataError, match="`notify` returned None"):
        notify(notifier(lambda report: None), report())


def test_an_assessment_has_a_severity_or_the_alerts() -> None:
    light = Assessment(Verdict.BENIGN, "a test", Severity.INFO)
    assert review(reviewer(light), alert()) == light
    said = review(reviewer(Assessment(Verdict.UNDECIDED, "who knows")), alert(severity=Severity.HIGH))
    assert said == Assessment(Verdict.UNDECIDED, "who knows", Severity.HIGH)
    assert review(reviewer(None), alert()) is None
    for wrong in ("low", Assessment("bad", "x"), Assessment(Verdict.BENIGN, "x", 3)):  # type: ignore[arg-type]
        with pytest.raises(DataError, match="TypeError"):
            review(reviewer(wrong), alert())


def test_a_component_has_one_plugin() -> None:
    class Base(Enricher):
        """No enricher yet."""

    class Leaf(Base):
        def enrich(self, alert: Alert, enriched: Enriched) -> None: ...

    class Half(Base):
        """Not one either."""

    assert author_of(Base) is Leaf  # type: ignore[type-abstract]

    class Other(Base):
        def enrich(self, alert: Alert, enriched: Enriched) -> None: ...

    with pytest.raises(ConfigError, match="more than one base: .*Leaf` and .*Other`"):
        author_of(Base)  # type: ignore[type-abstract]
    with pytest.raises(ConfigError, match="the plugin has no half: derive a class from yagura.Half"):
        author_of(Half)  # type: ignore[type-abstract]


def test_configuration_is_checked_by_key_and_type() -> None:
    config = Config({"url": "x", "most": 5, "on": True, "names": ["a"], "ratio": 1})
    assert (config.text("url"), config.integer("most", 1), config.boolean("on", False)) == ("x", 5, True)
    assert (config.strings("names"), config.number("ratio", 0.5), config.text("none", "y")) == (["a"], 1.0, "y")
    for message, wrong in (
        ("`plugin.config.most` is 5 where a text is wanted", lambda: config.text("most")),
        ("`plugin.config.on` is true where a whole number is wanted", lambda: config.integer("on", 1)),
        ("`plugin.config.most` is 5 where true or false is wanted", lambda: config.boolean("most", True)),
        ("`plugin.config.url` is \"x\" where a list of texts is wanted", lambda: config.strings("url")),
        ("`plugin.config.key` is missing", lambda: config.required_text("key")),
        ("has the key `url`, .* it knows `urls`, `most`; did you mean `urls`", lambda: config.only("urls", "most")),
    ):
        with pytest.raises(ConfigError, match=message):
            wrong()  # type: ignore[no-untyped-call]


def test_a_report_is_written_as_yagura_writes_it() -> None:
    about = alert(observables=[("ip", "10.0.0.1")], context=[("user", "alice")], tags=["attack.t1078"])
    told = report(
        alerts=[about],
        attributes=Attributes([Attribute("owner", "shop", "assets")]),
        assessments=[("platform", Assessment(Verdict.BENIGN, "a Mac", Severity.LOW))],
        earlier="42",
        revision=2,
    )
    written = told.to_dict()
    assert json.loads(json.dumps(written)) == written
    assert written["alerts"][0]["observables"] == [{"kind": "ip", "value": "10.0.0.1"}]
    assert written["alerts"][0]["state"] == "final"
    assert written["time"] == "2026-02-25T06:14:21.000000Z"
    assert written["assessments"] == [["platform", {"severity": "low", "verdict": "benign", "reason": "a Mac"}]]
    assert (told.revision_id, told.is_first, written["earlier"]) == ("i1-2", False, "42")
    assert about.observables_of(Observable.IP) == ["10.0.0.1"] and about.fact("user") == "alice"
    assert format_time(-1) == "1969-12-31T23:59:59.999999Z"


@pytest.mark.parametrize(
    "text", ["{{secret:a}}", "{{{secret:a}}}", "{{{{", "placeholder-1-1", '"placeholder-1-1"', "\\{{secret:a}}", "\\u007b{"]
)
def test_no_text_in_json_holds_a_placeholder_but_those_meant_to(text: str) -> None:
    value = {text: [text], "key": http.Placeholder(http.secret("b")), "more": http.Placeholder("x {{secret:c}}")}
    sent = http.encode_json(value).decode()
    assert sent.count("{{") == 2 and '"{{secret:b}}"' in sent and '"x {{secret:c}}"' in sent
    assert json.loads(sent) == {text: [text], "key": "{{secret:b}}", "more": "x {{secret:c}}"}
    assert "{{" not in http.encode(text)
    assert "{{secret:" not in http.plain(text)


def test_requests_are_put_together_and_answers_taken_apart() -> None:
    with Server() as server:
        server.answer(
            "POST https://a.example/x?q=a%20%2F%26&key={{secret:k}}",
            Reply(status=201, json={"id": 7}, headers={"X-Id": "7"}),
        )
        answer = http.post(
            "https://a.example/x",
            query={"q": "a /&", "key": http.Placeholder(http.secret("k"))},
            headers={"Authorization": "Basic " + http.basic("me", "k")},
            json={"a": "櫓\ud800"},
            sign=http.Signature("X-Signature", "k", "sha256="),
        )
    request = server.requests[0]
    assert request.body == '{"a":"櫓?"}'.encode()
    assert request.header("content-type") == "application/json"
    assert request.header("authorization") == "Basic {{basic:me:k}}"
    assert request.sign == http.Signature("X-Signature", "k", "sha256=", "")
    assert (answer.success().json(), answer.header("x-ID")) == ({"id": 7}, "7")
    with pytest.raises(TypeError):
        http.post("https://a.example/x", json={}, body=b"")


def test_statuses_and_failures_are_errors_of_the_right_kind() -> None:
    place = "https://a.example/x"
    for reply, kind, message in (
        (Reply(status=503, body=b"out\nof order"), RetryError, f"GET {place}: status 503: out of order"),
        (Reply(status=429), RetryError, f"GET {place}: status 429: no text"),
        (Reply(status=404), DataError, f"GET {place}: status 404: no text"),
        (Reply(body=b"<html>"), RetryError, "the answer is no JSON"),
        (Reply(failure=http.Timeout()), http.Timeout, f"GET {place}: no answer in time$"),
        (Reply(failure=http.Denied("grant it")), http.Denied, f"GET {place}: denied: grant it"),
    ):
        with Server().answer(f"GET {place}?key={{{{secret:k}}}}", reply):
            with pytest.raises(kind, match=message):
                http.get(place + "?key=" + http.secret("k")).success().json()
    with pytest.raises(http.Denied, match=r"by yagura\.testing\.Server"):
        http.get(place)


def test_a_server_fails_a_test_whose_requests_are_others() -> None:
    with pytest.raises(AssertionError, match="nobody asked for GET https://a.example/"):
        with Server().answer("GET https://a.example/", Reply()):
            pass
    with pytest.raises(AssertionError, match="there is no answer to GET https://b.example/"):
        with Server():
            try:
                http.get("https://b.example/")
            except PluginError:
                pass


def test_searches_and_lookups() -> None:
    events = Events().text("host", ["a", None, "c"]).int64("n", [1, 2, 3]).boolean("on", [True, False, True])
    span = search.around(alert(), before=search.HOUR)
    with Tables({"dhcp": events}) as tables:
        found = search.find("dhcp", Observable.IP, "10.0.0.1", *span, columns=["on", "host"], limit=2)
        assert [dict(event) for event in found] == [{"on": True, "host": "a"}, {"on": False, "host": None}]
        assert found.is_truncated
        assert not search.find("dhcp", "ip", "x", 0, 1, columns=["n"]).is_truncated
        with pytest.raises(ConfigError, match="no column `hots`"):
            search.find("dhcp", "ip", "x", 0, 1, columns=["hots"])
        with pytest.raises(ConfigError, match="no table `dns`"):
            search.find("dns", "ip", "x", 0, 1, columns=[])
    assert tables.queries[0].observable == ("ip", "10.0.0.1")
    assert (tables.queries[0].from_, tables.queries[0].to) == span
    with Lookups({"assets": {"db-1": {"owner": "data"}}}):
        assert lookup.get("assets", "db-1") == {"owner": "data"}
        assert lookup.get("assets", "db-2") is None
        with pytest.raises(ConfigError, match="no lookup table `users`"):
            lookup.get("users", "alice")
    with pytest.raises(ConfigError, match=r"yagura\.testing\.Lookups"):
        lookup.get("assets", "db-1")

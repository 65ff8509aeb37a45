"""Writes the recorded logs of the stories' tests: the same bytes in every run.

    python3 make_logs.py

All names, machines and addresses are made up; the addresses are those that RFC 5737 and RFC 1918 keep free.
"""

import json
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).parent
DAY = datetime(2026, 3, 2, tzinfo=timezone.utc)  # a Monday


def at(hours=0, minutes=0, seconds=0.0, days=0):
    return DAY + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def iso(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"


def write(path, events):
    """Writes (time, event) pairs in order of time."""
    file = HERE / path
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(event) for _, event in sorted(events, key=lambda pair: pair[0])]
    file.write_text("".join(line + "\n" for line in lines))


# What each kind of log writes of an event.


def sshd(time, host, user, address, outcome, port=50022, known=True):
    how = "Accepted publickey" if outcome == "success" else "Failed password"
    name = user if known else f"invalid user {user}"
    return time, {
        "timestamp": iso(time),
        "host": host,
        "program": "sshd",
        "pid": 2000 + port % 7919,
        "message": f"{how} for {name} from {address} port {port} ssh2",
        "user": user,
        "source_ip": address,
        "source_port": port,
        "outcome": outcome,
    }


def conn(time, origin, target, port, state, random_source):
    done = state == "SF"
    return time, {
        "ts": round(time.timestamp(), 6),
        "uid": "C" + "".join(random_source.choices("abcdefghijkmnpqrstuvwxyzABCDEFGH23456789", k=17)),
        "id.orig_h": origin,
        "id.orig_p": random_source.randrange(32768, 61000),
        "id.resp_h": target,
        "id.resp_p": port,
        "proto": "tcp",
        "conn_state": state,
        "duration": round(random_source.uniform(0.01, 4), 6) if done else None,
        "orig_bytes": random_source.randrange(200, 4000) if done else 0,
        "resp_bytes": random_source.randrange(400, 90000) if done else 0,
    }


def ids(time, origin, target, port, signature, category, severity):
    return time, {
        "timestamp": iso(time),
        "event_type": "alert",
        "in_iface": "mirror0",
        "src_ip": origin,
        "dest_ip": target,
        "dest_port": port,
        "proto": "TCP",
        "alert": {"signature": signature, "category": category, "severity": severity},
    }


def proxy(time, address, user, host, path="/", status=200, category="business"):
    return time, {
        "timestamp": iso(time),
        "client_ip": address,
        "user": user,
        "method": "GET",
        "url": f"https://{host}{path}",
        "host": host,
        "status": status,
        "category": category,
        "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
    }


def share(time, address, user, path, mask="0x1", share_name=r"\\*\finance"):
    return time, {
        "TimeCreated": iso(time),
        "EventID": 5145,
        "Channel": "Security",
        "Provider": "Microsoft-Windows-Security-Auditing",
        "Computer": "fs01.corp.example",
        "SubjectUserName": user,
        "SubjectDomainName": "CORP",
        "ObjectType": "File",
        "IpAddress": address,
        "IpPort": "50113",
        "ShareName": share_name,
        "RelativeTargetName": path,
        "AccessMask": mask,
    }


def signin(time, user, address, application="Office", outcome="success"):
    return time, {
        "createdDateTime": iso(time),
        "userPrincipalName": f"{user}@corp.example",
        "appDisplayName": application,
        "ipAddress": address,
        "clientAppUsed": "Browser",
        "status": {"errorCode": 0, "failureReason": "Other."}
        if outcome == "success"
        else {"errorCode": 50126, "failureReason": "Invalid username or password."},
    }


def mail(time, user, address, event="login"):
    return time, {
        "timestamp": iso(time),
        "host": "mail01.corp.example",
        "program": "imap-login",
        "event": event,
        "user": user,
        "client_ip": address,
        "method": "PLAIN",
        "tls": True,
    }


def heartbeat(time, host, version="5.2.1", event="heartbeat"):
    return time, {
        "timestamp": iso(time),
        "event": event,
        "agent": {"version": version, "policy": "workstations"},
        "host": host,
        "uptime_seconds": int((time - DAY).total_seconds()) + 86400,
    }


def okta(time, user, country, address, outcome="SUCCESS", kind="user.session.access_admin_app"):
    return time, {
        "eventType": kind,
        "published": iso(time),
        "severity": "INFO",
        "displayMessage": "User accessing Okta admin app",
        "actor": {"type": "User", "alternateId": f"{user}@corp.example", "displayName": user.title()},
        "client": {"ipAddress": address, "geographicalContext": {"country": country}},
        "outcome": {"result": outcome},
    }


# The stories.


def failed_logins():
    base = "failed-logins/tests/many-failed-logins"
    chance = random.Random("failed logins")

    def office():
        events = []
        for minute in range(0, 60, 4):
            user = chance.choice(["hana", "ken", "yui"])
            address = f"192.0.2.{chance.randrange(10, 40)}"
            port = chance.randrange(40000, 60000)
            if chance.random() < 0.2:
                events.append(sshd(at(8, minute, 1), "bastion-1", user, address, "failure", port))
            events.append(sshd(at(8, minute, 9.25), "bastion-1", user, address, "success", port + 1))
        return events

    names = ["root", "admin", "test", "oracle", "ubuntu", "git", "postgres", "deploy"]
    events = office()
    for attempt in range(14):  # every 25 s: the tenth after 3 min 45 s
        name = chance.choice(names)
        port = chance.randrange(40000, 60000)
        known = name == "root"
        time = at(8, 20, 25 * attempt + 0.5)
        events.append(sshd(time, "bastion-1", name, "203.0.113.45", "failure", port, known))
    write(f"{base}/positive.ndjson", events)

    # Ten failures, the tenth exactly ten minutes after the first: the first has left the window.
    slow = [sshd(at(8, 10, 200 / 3 * n), "bastion-1", "root", "203.0.113.45", "failure") for n in range(9)]
    slow.append(sshd(at(8, 20), "bastion-1", "root", "203.0.113.45", "failure"))
    write(f"{base}/negative-too-slow.ndjson", office() + slow)

    # Eighteen failures in three minutes, nine from each of two addresses.
    other = []
    for attempt in range(18):
        address = "203.0.113.45" if attempt % 2 else "203.0.113.46"
        other.append(sshd(at(8, 20, 10 * attempt), "bastion-1", "root", address, "failure"))
    write(f"{base}/negative-other-address.ndjson", office() + other)


def scan_then_exploit():
    base = "scan-then-exploit/tests"
    attacker, victim, bystander = "198.51.100.77", "10.20.0.15", "10.20.0.16"

    def traffic(chance):
        events = []
        for second in range(0, 3600, 90):
            origin = f"10.30.0.{chance.randrange(10, 90)}"
            port = chance.choice([80, 443, 443, 8080])
            events.append(conn(at(9, 0, second), origin, victim, port, "SF", chance))
        return events

    def scan(start, chance, ports=range(20, 60), step=0.4):
        return [
            conn(start + timedelta(seconds=step * n), attacker, victim, port, "REJ" if port % 3 else "S0", chance)
            for n, port in enumerate(ports)
        ]

    def exploit(time, target=victim, severity=1):
        signature = "EXPLOIT remote code execution in web application, request with expression"
        return ids(time, attacker, target, 8080, signature, "Attempted Administrator Privilege Gain", severity)

    def noise():
        return [ids(at(9, 5), "10.30.0.12", victim, 443, "POLICY self-signed certificate", "Not Suspicious Traffic", 3)]

    def case(name, conns, alerts):
        write(f"{base}/scan-then-exploit/{name}/zeek_conn.ndjson", conns)
        write(f"{base}/scan-then-exploit/{name}/suricata.ndjson", alerts)

    chance = random.Random("scan then exploit")
    start = at(9, 10)
    case("positive", traffic(chance) + scan(start, chance), noise() + [exploit(at(9, 31, 12.4))])
    # The alarm comes first, the scan after it.
    case("negative-wrong-order", traffic(chance) + scan(start, chance), noise() + [exploit(at(9, 9, 59))])
    # The attack is on a machine that was not scanned.
    case("negative-other-target", traffic(chance) + scan(start, chance), noise() + [exploit(at(9, 31), bystander)])
    # The scan's last finding is at 09:10:15.6; this is two seconds more than an hour later.
    case("negative-too-late", traffic(chance) + scan(start, chance), noise() + [exploit(at(10, 10, 17.6))])

    # The scan alone is a rule with alerts of its own.
    alone = f"{base}/port-scan"
    write(f"{alone}/positive.ndjson", traffic(chance) + scan(start, chance))
    write(f"{alone}/negative-few-ports.ndjson", traffic(chance) + scan(start, chance, list(range(20, 39)) * 4))
    write(f"{alone}/negative-too-slow.ndjson", traffic(chance) + scan(start, chance, range(20, 60), 6.0))


def from_blacklist_to_unix():
    base = "blacklist-to-unix/tests/blacklist-to-unix"
    machine, other = "10.40.0.23", "10.40.0.24"
    bad = "cdn-sync.example.net"

    def office(chance):
        web, files, logins = [], [], []
        for minute in range(0, 240, 6):
            address = f"10.40.0.{chance.randrange(20, 40)}"
            user = chance.choice(["sato", "suzuki", "tanaka", "ito"])
            web.append(proxy(at(0, minute, 5), address, user, chance.choice(["www.example.com", "mail.example.com"])))
            if minute % 4 == 0:
                path = chance.choice([r"2026\budget.xlsx", r"2026\plan.docx"])
                files.append(share(at(0, minute, 40), address, user, path))
            if minute % 18 == 0:
                logins.append(sshd(at(0, minute, 50), "db01", "ops", "10.40.9.5", "success", 40000 + minute))
        return web, files, logins

    contact = proxy(at(1, 12, 3), machine, "sato", bad, "/u?id=8f21", 200, "uncategorized")
    reads = [share(at(1, 55, n), machine, "sato", rf"payroll\2026-0{n + 1}.xlsx") for n in range(4)]
    refused = sshd(at(2, 40, 7), "db01", "root", machine, "failure", 51822)

    def case(name, web, files, logins):
        quiet = office(random.Random("blacklist to unix"))
        for table, events, background in (
            ("proxy", web, quiet[0]),
            ("windows_security", files, quiet[1]),
            ("unix_auth", logins, quiet[2]),
        ):
            # The background has no reads by the machine of the story.
            events = events + [pair for pair in background if pair[1].get("IpAddress") != machine]
            write(f"{base}/{name}/{table}.ndjson", events)

    case("positive", [contact], reads, [refused])
    # The files were read before the contact.
    early = [share(at(0, 55, n), machine, "sato", rf"payroll\2026-0{n + 1}.xlsx") for n in range(4)]
    case("negative-wrong-order", [contact], early, [refused])
    # Another machine was refused.
    elsewhere = sshd(at(2, 40, 7), "db01", "root", other, "failure", 51822)
    case("negative-other-machine", [contact], reads, [elsewhere])
    # The last step comes a second more than a day after the first.
    late = sshd(at(1, 12, 4, days=1), "db01", "root", machine, "failure", 51822)
    case("negative-too-slow", [contact], reads, [late])


def tokyo_new_york():
    base = "tokyo-new-york/tests/impossible-travel"
    tokyo, yokohama, new_york = "192.0.2.30", "203.0.113.20", "198.51.100.9"

    def office():
        events = []
        for n, user in enumerate(["aoi", "ren", "mei", "sora"]):
            events.append(signin(at(0, 2 + 7 * n), user, f"192.0.2.{40 + n}"))
            events.append(signin(at(4, 11 + 3 * n), user, f"192.0.2.{40 + n}", "Mail"))
        return events

    write(f"{base}/positive.ndjson", office() + [
        signin(at(0, 10), "haruto", tokyo),
        signin(at(1, 10), "haruto", new_york),
    ])
    # Fourteen hours are enough for the flight.
    write(f"{base}/negative-time-to-fly.ndjson", office() + [
        signin(at(0, 10), "haruto", tokyo),
        signin(at(14, 10), "haruto", new_york),
    ])
    # Two people, each in one place.
    write(f"{base}/negative-other-user.ndjson", office() + [
        signin(at(0, 10), "haruto", tokyo),
        signin(at(1, 10), "emma", new_york),
    ])
    # Thirty kilometres in half a minute are another network, not a journey.
    write(f"{base}/negative-next-town.ndjson", office() + [
        signin(at(0, 10), "haruto", tokyo),
        signin(at(0, 10, 30), "haruto", yokohama),
    ])
    # A password that was refused in New York says nothing of where its owner is.
    write(f"{base}/negative-refused.ndjson", office() + [
        signin(at(0, 10), "haruto", tokyo),
        signin(at(1, 10), "haruto", new_york, outcome="failure"),
    ])


def mail_at_night():
    base = "mail-at-night/tests/mail-at-night-then-bad-site"

    def days(chance):
        mails, web = [], []
        for day in range(10):
            if (DAY + timedelta(days=day)).weekday() >= 5:
                continue
            for user in ["sato", "ito", "mori"]:
                # Nine in Tokyo is midnight in UTC.
                address = f"10.40.0.{20 + len(user)}"
                mails.append(mail(at(0, chance.randrange(5, 50), days=day), user, address))
                web.append(proxy(at(3, chance.randrange(60), days=day), address, user, "www.example.com"))
        return mails, web

    def case(name, mails, web):
        usual = days(random.Random("mail at night"))
        write(f"{base}/{name}/mail.ndjson", mails + usual[0])
        write(f"{base}/{name}/proxy.ndjson", web + usual[1])

    # 02:14 on Wednesday in Tokyo, and a visit on Saturday.
    night = mail(at(17, 14, days=1), "mori", "203.0.113.8")
    visit = proxy(at(2, 30, days=5), "10.40.0.24", "mori", "prize-claim.example.org", "/win", 200, "newly-registered")
    case("positive", [night], [visit])
    # 20:59:59 in Tokyo is still within hours.
    evening = mail(at(11, 59, 59, days=1), "mori", "203.0.113.8")
    case("negative-within-hours", [evening], [visit])
    # The visit comes a second more than a week later.
    late = proxy(at(17, 14, 1, days=8), "10.40.0.24", "mori", "prize-claim.example.org", "/win", 200, "newly-registered")
    case("negative-too-late", [night], [late])
    # Somebody else visits the site.
    other = proxy(at(2, 30, days=5), "10.40.0.23", "ito", "prize-claim.example.org", "/win", 200, "newly-registered")
    case("negative-other-user", [night], [other])
    # First the site, then the mail server.
    first = proxy(at(2, 30, days=1), "10.40.0.24", "mori", "prize-claim.example.org", "/win", 200, "newly-registered")
    case("negative-wrong-order", [night], [first])


def silent_endpoint():
    base = "silent-endpoint/tests/endpoint-silent"
    hosts = ["ws-014", "ws-015", "ws-016", "srv-002"]

    def beats(host, start, end, step=5):
        return [heartbeat(at(8, minute, hosts.index(host) * 7), host) for minute in range(start, end, step)]

    def others(end=120):
        return [event for host in hosts if host != "ws-015" for event in beats(host, 0, end)]

    write(f"{base}/positive.ndjson", others() + beats("ws-015", 0, 35))
    # Three missed reports; the next comes at the last instant that is in time.
    late = beats("ws-015", 0, 35) + beats("ws-015", 50, 120)
    write(f"{base}/negative-in-time.ndjson", others() + late)
    # It stops ten minutes before the log ends: nobody can know yet.
    write(f"{base}/negative-not-known-yet.ndjson", others() + beats("ws-015", 0, 110))
    # Its agent writes something, but not that it is well. Others do not count for it.
    stopped = [heartbeat(at(8, 52), "ws-015", event="service-stopped")]
    write(f"{base}/positive-stopped-and-back.ndjson", others() + beats("ws-015", 0, 35) + stopped + beats("ws-015", 90, 120))


def new_country():
    base = "new-console-country/tests/new-console-country"
    japan, canada, brazil = ("Japan", "192.0.2.71"), ("Canada", "198.51.100.71"), ("Brazil", "203.0.113.71")

    def visits(user, place, days, minute):
        return [okta(at(1, minute, days=day), user, *place) for day in days]

    weekdays = [day for day in range(26) if (DAY + timedelta(days=day)).weekday() < 5]
    usual = visits("nao", japan, weekdays, 10) + visits("jun", canada, weekdays, 40)
    strange = okta(at(15, 3, days=23), "nao", *brazil)
    write(f"{base}/positive.ndjson", usual + [strange])
    # Canada is new to nobody: jun is always there. Brazil was seen while jun's countries were learnt.
    learnt = okta(at(15, 3, days=4), "jun", *brazil)
    again = okta(at(15, 3, days=23), "jun", *brazil)
    write(f"{base}/negative-learnt.ndjson", usual + [learnt, again])
    # The first login of somebody new is from the first country, whichever that is.
    write(f"{base}/negative-new-administrator.ndjson", usual + [okta(at(15, 3, days=23), "rio", *brazil)])
    # The console refused.
    refused = okta(at(15, 3, days=23), "nao", *brazil, outcome="FAILURE")
    write(f"{base}/negative-refused.ndjson", usual + [refused])


if __name__ == "__main__":
    failed_logins()
    scan_then_exploit()
    from_blacklist_to_unix()
    tokyo_new_york()
    mail_at_night()
    silent_endpoint()
    new_country()

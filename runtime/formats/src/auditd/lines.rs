//! Which records belong to one event.

use chrono::{DateTime, TimeDelta, Utc};

use super::head;
use crate::gather::{MOST_BYTES, MOST_LINES};
use crate::{Gather, Record, Rest, Taken};

/// How many events wait for records.
const MOST_EVENTS: usize = 64;
/// A record that is so much later ends the events before it: auparse's `eoe_timeout`.
const WAIT: TimeDelta = TimeDelta::seconds(2);

/// Types of records with which a kernel describes an event together with others; from 1006 and 1300 to 1899 in `linux/audit.h`.
const OF_KERNEL: [&str; 65] = [
    "ANOM_ABEND",
    "ANOM_CREAT",
    "ANOM_LINK",
    "ANOM_PROMISCUOUS",
    "APPARMOR",
    "APPARMOR_ALLOWED",
    "APPARMOR_AUDIT",
    "APPARMOR_DENIED",
    "APPARMOR_ERROR",
    "APPARMOR_HINT",
    "APPARMOR_STATUS",
    "AVC",
    "AVC_PATH",
    "BPF",
    "BPRM_FCAPS",
    "CAPSET",
    "CONFIG_CHANGE",
    "CWD",
    "DM_CTRL",
    "DM_EVENT",
    "EOE",
    "EVENT_LISTENER",
    "EXECVE",
    "FANOTIFY",
    "FD_PAIR",
    "FEATURE_CHANGE",
    "INTEGRITY_DATA",
    "INTEGRITY_EVM_XATTR",
    "INTEGRITY_HASH",
    "INTEGRITY_METADATA",
    "INTEGRITY_PCR",
    "INTEGRITY_POLICY_RULE",
    "INTEGRITY_RULE",
    "INTEGRITY_STATUS",
    "IPC",
    "IPC_SET_PERM",
    "KERNEL_OTHER",
    "KERN_MODULE",
    "LANDLOCK_ACCESS",
    "LANDLOCK_DOMAIN",
    "LOGIN",
    "MAC_POLICY_LOAD",
    "MAC_STATUS",
    "MMAP",
    "MQ_GETSETATTR",
    "MQ_NOTIFY",
    "MQ_OPEN",
    "MQ_SENDRECV",
    "NETFILTER_CFG",
    "NETFILTER_PKT",
    "OBJ_PID",
    "OPENAT2",
    "PATH",
    "PROCTITLE",
    "REPLACE",
    "SECCOMP",
    "SELINUX_ERR",
    "SOCKADDR",
    "SOCKETCALL",
    "SYSCALL",
    "TIME_ADJNTPVAL",
    "TIME_INJOFFSET",
    "TTY",
    "URINGOP",
    "USER_AVC_PATH",
];

/// Puts records together to events.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: Vec<Open>,
    lines: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    /// Absent for a line that is not a record.
    key: Option<(Option<String>, DateTime<Utc>, u64)>,
    text: String,
    line: u64,
    is_ended: bool,
}

impl Lines {
    fn put(&mut self, line: &str, number: u64, at: Option<usize>, open: Open) {
        self.lines += 1;
        self.bytes += line.len();
        match at.and_then(|at| self.open.get_mut(at)) {
            Some(event) => {
                event.text.push('\n');
                event.text.push_str(line);
                event.is_ended |= open.is_ended;
            }
            None => self.open.push(Open {
                text: line.to_owned(),
                line: number,
                ..open
            }),
        }
    }

    fn take(&mut self) -> Vec<Record> {
        (self.lines, self.bytes) = (0, 0);
        let all = self.open.drain(..);
        all.map(|event| Record {
            text: event.text,
            line: event.line,
        })
        .collect()
    }

    fn are_ended(&self) -> bool {
        self.open.iter().all(|event| event.is_ended)
    }
}

impl Gather for Lines {
    fn line(&mut self, line: &str, number: u64) -> Taken {
        let found = head(line);
        let goes_on = found
            .as_ref()
            .is_some_and(|head| OF_KERNEL.contains(&head.kind));
        if self.open.is_empty() && !goes_on {
            return Taken::Alone;
        }
        let is_last = found
            .as_ref()
            .is_some_and(|head| matches!(head.kind, "EOE" | "PROCTITLE"));
        let key = found.map(|head| (head.node.map(str::to_owned), head.time, head.serial));
        let at = self
            .open
            .iter()
            .position(|event| event.key.is_some() && event.key == key);
        if let Some((_, time, _)) = &key {
            for event in &mut self.open {
                let is_late = event
                    .key
                    .as_ref()
                    .is_some_and(|(_, began, _)| *time - *began > WAIT);
                event.is_ended |= is_late;
            }
        }
        let open = Open {
            key,
            text: String::new(),
            line: number,
            is_ended: is_last || !goes_on,
        };
        if at.is_none() && !self.open.is_empty() && self.are_ended() {
            let mut records = self.take();
            if !goes_on {
                records.push(Record {
                    text: line.to_owned(),
                    line: number,
                });
                return Taken::Records {
                    records,
                    waits: None,
                };
            }
            self.put(line, number, None, open);
            return Taken::Records {
                records,
                waits: Some(number),
            };
        }
        self.put(line, number, at, open);
        let is_full =
            self.open.len() > MOST_EVENTS || self.lines >= MOST_LINES || self.bytes > MOST_BYTES;
        if is_full {
            let records = self.take();
            return Taken::Records {
                records,
                waits: None,
            };
        }
        Taken::Waits
    }

    fn end(&mut self) -> Rest {
        Rest {
            records: self.take(),
            open: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, seconds: u32, serial: u32) -> String {
        format!("type={kind} msg=audit({seconds}.000:{serial}): a=1")
    }

    /// The types of each event's records, and how many of the events came before the end.
    fn events(lines: &[(&str, u32, u32)]) -> (Vec<String>, usize) {
        let mut gather = Lines::default();
        let kinds = |text: &str| {
            let kinds = text
                .lines()
                .map(|line| line.split([' ', '=']).nth(1).unwrap().to_owned());
            kinds.collect::<Vec<_>>().join("+")
        };
        let mut found = Vec::new();
        for (number, (kind, seconds, serial)) in (1..).zip(lines) {
            let line = line(kind, *seconds, *serial);
            match gather.line(&line, number) {
                Taken::Alone => found.push(kinds(&line)),
                Taken::Waits => {}
                Taken::Records { records, .. } => {
                    assert!(records.is_sorted_by_key(|record| record.line));
                    found.extend(records.iter().map(|record| kinds(&record.text)));
                }
            }
        }
        let before = found.len();
        let rest = gather.end();
        assert_eq!(rest.open, None);
        found.extend(rest.records.iter().map(|record| kinds(&record.text)));
        (found, before)
    }

    #[test]
    fn records_of_an_event_come_together() {
        let (found, before) = events(&[
            ("USER_AUTH", 1, 1),
            ("SYSCALL", 1, 2),
            ("PATH", 1, 2),
            ("PATH", 1, 2),
            ("PROCTITLE", 1, 2),
            ("EOE", 1, 2),
            ("USER_END", 1, 3),
            ("SYSCALL", 1, 4),
            ("CWD", 1, 4),
        ]);
        assert_eq!(
            found,
            [
                "USER_AUTH",
                "SYSCALL+PATH+PATH+PROCTITLE+EOE",
                "USER_END",
                "SYSCALL+CWD"
            ]
        );
        assert_eq!(before, 3);
    }

    #[test]
    fn events_that_lie_between_each_other_come_in_the_order_of_their_first_records() {
        let (found, before) = events(&[
            ("SYSCALL", 1, 1),
            ("SYSCALL", 1, 2),
            ("USER_CMD", 1, 3),
            ("PROCTITLE", 1, 2),
            ("CWD", 1, 1),
            ("PROCTITLE", 1, 1),
            ("SYSCALL", 1, 4),
        ]);
        assert_eq!(
            found,
            [
                "SYSCALL+CWD+PROCTITLE",
                "SYSCALL+PROCTITLE",
                "USER_CMD",
                "SYSCALL"
            ]
        );
        assert_eq!(before, 3);
    }

    #[test]
    fn nothing_waits_for_long() {
        // For 2 seconds of the log.
        let (found, before) = events(&[("AVC", 1, 1), ("AVC", 3, 2), ("AVC", 6, 3)]);
        assert_eq!((found.len(), before), (3, 2));
        // For so many events, or lines.
        let many: Vec<(&str, u32, u32)> = (0..=64).map(|serial| ("SYSCALL", 1, serial)).collect();
        assert_eq!(events(&many).1, 65);
        let long = vec![("PATH", 1, 1); MOST_LINES + 1];
        assert_eq!((events(&long).0.len(), events(&long).1), (2, 1));
    }

    #[test]
    fn the_types_are_sorted_and_other_lines_stand_alone() {
        assert!(OF_KERNEL.is_sorted());
        let mut gather = Lines::default();
        assert_eq!(gather.line("nothing", 1), Taken::Alone);
        assert_eq!(gather.line(&line("SYSCALL", 1, 1), 2), Taken::Waits);
        assert_eq!(gather.line("nothing", 3), Taken::Waits);
        assert_eq!(
            gather.end().records[1],
            Record {
                text: "nothing".to_owned(),
                line: 3
            }
        );
    }
}

//! Logs of AWS whose lines are values with spaces between them: VPC flow logs, access logs of Application and of Classic Load
//! Balancers, and S3 server access logs.
//!
//! ```text
//! VPC  = header, the names of the fields in the lines behind it / value *(SP value), the 14 fields of version 2 without a header
//! ALB  = type SP time SP elb SP client:port SP target:port SP …                      25 fields in 2018, 33 now
//! ELB  = time SP elb SP client:port SP backend:port SP …                             15 fields
//! S3   = bucket-owner SP bucket SP "[" time "]" SP remote-ip SP …                    17 fields at first, 27 now
//! value = "-" / *char / DQUOTE *char DQUOTE
//! ```
//!
//! Each line says by its start which of them it is. The names are those of AWS' documentation, with `_` for `-` and spaces.
//! `client:port` becomes `client_ip` and `client_port`, and `request` has its parts beside it, as in AWS' tables for Athena. A
//! value `-` is left out. `timestamp` is the time of the request, or the start of the flow. Fields that AWS adds at the end go into
//! the array `extra`.
//!
//! Source: <https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html>;
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html>;
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/access-log-collection.html>;
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html>.

use serde_json::Value;

use crate::parts::{
    Members, Piece, bare, distinct, number, pieces, request, whole_lines, wrong, wrong_count,
};
use crate::times::{common_time, epoch, is_moment};
use crate::{Decode, Decoded, Wrong};

const VPC: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action \
    log-status";

/// Names of later versions by which a header is recognized.
const VPC_LATER: &str = "vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type \
    sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path reject-reason resource-type tgw-id";

const ALB: &str = "type time elb client:port target:port request_processing_time target_processing_time \
    response_processing_time elb_status_code target_status_code received_bytes sent_bytes request user_agent ssl_cipher \
    ssl_protocol target_group_arn trace_id domain_name chosen_cert_arn matched_rule_priority request_creation_time \
    actions_executed redirect_url error_reason target_port_list target_status_code_list classification classification_reason \
    conn_trace_id transformed_host transformed_uri request_transform_status";

const ELB: &str = "time elb client:port backend:port request_processing_time backend_processing_time \
    response_processing_time elb_status_code backend_status_code received_bytes sent_bytes request user_agent ssl_cipher \
    ssl_protocol";

const S3: &str = "bucket_owner bucket time remote_ip requester request_id operation key request_uri http_status error_code \
    bytes_sent object_size total_time turn_around_time referer user_agent version_id host_id signature_version cipher_suite \
    authentication_type host_header tls_version access_point_arn acl_required source_region";

const NUMBERS: &str = "version srcport dstport protocol packets bytes start end tcp_flags traffic_path packets_lost_no_route \
    packets_lost_blackhole packets_lost_mtu_exceeded packets_lost_ttl_expired request_processing_time target_processing_time \
    backend_processing_time response_processing_time elb_status_code target_status_code backend_status_code received_bytes \
    sent_bytes matched_rule_priority http_status bytes_sent object_size total_time turn_around_time";

/// Reads logs of AWS whose lines are values with spaces between them.
#[derive(Debug)]
pub(crate) struct Aws {
    /// The fields in the header of a VPC flow log.
    header: Option<Vec<Field>>,
    vpc: Vec<Field>,
    alb: Vec<Field>,
    elb: Vec<Field>,
    s3: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    is_number: bool,
}

/// The logs whose lines need no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Vpc,
    Alb,
    Elb,
    S3,
}

impl Aws {
    /// Returns a decoder that has not seen a header.
    pub(crate) fn new() -> Self {
        let fields = |names: &str| fields(names.split_whitespace());
        Self {
            header: None,
            vpc: fields(VPC),
            alb: fields(ALB),
            elb: fields(ELB),
            s3: fields(S3),
        }
    }
}

impl Default for Aws {
    fn default() -> Self {
        Self::new()
    }
}

impl Decode for Aws {
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        let line = bare(line);
        let pieces = pieces(line)?;
        if pieces.is_empty() {
            return Ok(Decoded::Nothing);
        }
        if is_header(&pieces) {
            self.header = Some(fields(pieces.iter().map(|piece| piece.text)));
            return Ok(Decoded::Nothing);
        }
        if let Some(header) = &self.header {
            if header.len() != pieces.len() {
                return Err(wrong_count(header.len(), pieces.len(), line.len()));
            }
            return Ok(event(header, &pieces));
        }
        let fields = match log(&pieces) {
            Some(Log::Vpc) => &self.vpc,
            Some(Log::Alb) => &self.alb,
            Some(Log::Elb) => &self.elb,
            Some(Log::S3) => &self.s3,
            None => {
                let reason = "the line belongs neither to a VPC flow log with a header or with the 14 fields of version 2, nor to an \
                    access log of a load balancer or of S3";
                return Err(wrong(reason, 0));
            }
        };
        Ok(event(fields, &pieces))
    }
}

fn fields<'n>(names: impl Iterator<Item = &'n str>) -> Vec<Field> {
    let names: Vec<String> = names.map(|name| name.replace('-', "_")).collect();
    let field = |name: String| Field {
        is_number: NUMBERS.split_whitespace().any(|number| number == name),
        name,
    };
    let names = distinct(names.iter().map(String::as_str));
    names.into_iter().map(field).collect()
}

fn event(fields: &[Field], pieces: &[Piece<'_>]) -> Decoded {
    let mut event = Members::default();
    let mut timestamp = None;
    let mut values = pieces.iter().map(|piece| piece.text);
    for (field, text) in fields.iter().zip(values.by_ref()) {
        let name = field.name.as_str();
        if text == "-" {
            continue;
        }
        match name {
            "start" => timestamp = epoch(text),
            "time" => {
                let time = common_time(text);
                timestamp = time.or_else(|| is_moment(text).then(|| text.to_owned()));
            }
            _ => {}
        }
        if let Some(name) = name.strip_suffix(":port") {
            let (ip, port) = text.rsplit_once(':').unwrap_or((text, ""));
            let port = number(port).filter(Value::is_u64);
            event.text(
                &format!("{name}_ip"),
                if port.is_some() { ip } else { text },
            );
            if let Some(port) = port {
                event.add(&format!("{name}_port"), port);
            }
        } else if field.is_number {
            event.number(name, text);
        } else {
            event.text(name, text);
        }
        if let ("request", Some((verb, url, protocol))) = (name, request(text)) {
            event.text("request_verb", verb);
            event.text("request_url", url);
            if let Some(protocol) = protocol {
                event.text("request_proto", protocol);
            }
        }
    }
    if let Some(timestamp) = timestamp {
        event.add("timestamp", Value::from(timestamp));
    }
    let extra: Vec<&str> = values.collect();
    if !extra.is_empty() {
        event.add("extra", Value::from(extra));
    }
    Decoded::Event(event.into_map())
}

/// Returns the log of a line that no header explains.
fn log(pieces: &[Piece<'_>]) -> Option<Log> {
    let text = |nth: usize| pieces.get(nth).map_or("", |piece| piece.text);
    let is_quoted = |nth: usize| pieces.get(nth).is_some_and(|piece| piece.is_quoted);
    let are_numbers = |mut nth: std::ops::Range<usize>| {
        nth.all(|nth| text(nth) == "-" || number(text(nth)).is_some())
    };
    let is_balanced = |time: usize| {
        is_moment(text(time)) && are_numbers(time + 4..time + 11) && is_quoted(time + 11)
    };
    if matches!(text(0), "http" | "https" | "h2" | "grpcs" | "ws" | "wss") && is_balanced(1) {
        Some(Log::Alb)
    } else if is_balanced(0) {
        Some(Log::Elb)
    } else if common_time(text(2)).is_some() && text(6).contains('.') && pieces.len() >= 17 {
        Some(Log::S3)
    } else {
        let is_flow = pieces.len() == 14
            && number(text(0)).is_some()
            && are_numbers(5..12)
            && matches!(text(13), "OK" | "NODATA" | "SKIPDATA");
        is_flow.then_some(Log::Vpc)
    }
}

/// Says whether a line is the header of a flow log: names only, two of them known.
fn is_header(pieces: &[Piece<'_>]) -> bool {
    let is_name = |piece: &Piece<'_>| {
        piece.text.starts_with(|c: char| c.is_ascii_lowercase())
            && piece
                .text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let is_known = |piece: &&Piece<'_>| {
        let mut known = VPC.split_whitespace().chain(VPC_LATER.split_whitespace());
        known.any(|name| name == piece.text)
    };
    pieces.iter().all(is_name) && pieces.iter().filter(is_known).count() >= 2
}

/// Says whether a text begins with a line of one of these logs, or with the header of a flow log.
pub(crate) fn looks_like(start: &str) -> bool {
    let Some(pieces) = whole_lines(start)
        .next()
        .and_then(|line| pieces(bare(line)).ok())
    else {
        return false;
    };
    // Two known names may be two words of prose.
    log(&pieces).is_some()
        || (is_header(&pieces) && pieces.iter().any(|piece| piece.text.contains("addr")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::check;

    fn shown(lines: &[&str]) -> Vec<String> {
        check::shown(&mut Aws::new(), lines)
    }

    const FLOW: &str = "2 111122223333 eni-0a 192.0.2.7 192.0.2.8 50000 22 6 5 300 1772359872 1772359900 ACCEPT OK";
    const REQUEST: &str = r#"192.0.2.7:50000 192.0.2.8:80 0.000 0.001 -1 502 - 34 366 "GET http://a.example:80/ HTTP/1.1""#;

    #[test]
    fn flow_logs_have_a_header_or_14_fields() {
        let event = r#"{"version":2,"account_id":"111122223333","interface_id":"eni-0a","srcaddr":"192.0.2.7","dstaddr":"192.0.2.8","srcport":50000,"dstport":22,"protocol":6,"packets":5,"bytes":300,"start":1772359872,"end":1772359900,"action":"ACCEPT","log_status":"OK","timestamp":"2026-03-01T10:11:12Z"}"#;
        assert_eq!(shown(&[FLOW]), [event]);
        let lines = ["srcaddr tcp-flags new-field start", "- 18 x 0", "1 2"];
        let events = shown(&lines);
        let event =
            r#"{"tcp_flags":18,"new_field":"x","start":0,"timestamp":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(events[0], event);
        assert_eq!(events[1], "3 the header has 4 columns, and this line 2");
    }

    #[test]
    fn load_balancers_are_told_apart() {
        let shared = r#""client_ip":"192.0.2.7","client_port":50000,"#;
        let request = r#""request":"GET http://a.example:80/ HTTP/1.1","request_verb":"GET","request_url":"http://a.example:80/","request_proto":"HTTP/1.1","user_agent":"a \"b\"c""#;
        let elb = format!(r#"2026-03-01T10:11:12.000001Z lb {REQUEST} "a "b"c" - -"#);
        assert_eq!(
            shown(&[&elb])[0],
            format!(
                r#"{{"time":"2026-03-01T10:11:12.000001Z","elb":"lb",{shared}"backend_ip":"192.0.2.8","backend_port":80,"request_processing_time":0.0,"backend_processing_time":0.001,"response_processing_time":-1,"elb_status_code":502,"received_bytes":34,"sent_bytes":366,{request},"timestamp":"2026-03-01T10:11:12.000001Z"}}"#
            )
        );
        let rest = ["x"; 22].join(" ");
        let alb = &shown(&[&format!(
            r#"h2 2026-03-01T10:11:12.000001Z app/lb/1 {REQUEST} "a" {rest}"#
        )])[0];
        assert!(alb.starts_with(
            r#"{"type":"h2","time":"2026-03-01T10:11:12.000001Z","elb":"app/lb/1","client_ip""#
        ));
        assert!(
            alb.contains(r#""target_port":80"#)
                && alb.contains(r#""request_transform_status":"x""#)
        );
        assert!(
            alb.ends_with(r#""timestamp":"2026-03-01T10:11:12.000001Z","extra":["x","x","x"]}"#),
            "{alb}"
        );
    }

    #[test]
    fn s3_has_its_time_in_brackets() {
        let line = r#"owner bucket [01/Mar/2026:10:11:12 +0000] 192.0.2.7 - ID REST.GET.OBJECT a%20b "GET /a%20b HTTP/1.1" 200 - 113 - 7 - "-" "Agent 1" -"#;
        let event = r#"{"bucket_owner":"owner","bucket":"bucket","time":"01/Mar/2026:10:11:12 +0000","remote_ip":"192.0.2.7","request_id":"ID","operation":"REST.GET.OBJECT","key":"a%20b","request_uri":"GET /a%20b HTTP/1.1","http_status":200,"bytes_sent":113,"total_time":7,"user_agent":"Agent 1","timestamp":"2026-03-01T10:11:12+00:00"}"#;
        assert_eq!(shown(&[line]), [event]);
        assert!(looks_like(line));
    }

    #[test]
    fn what_is_wrong_says_why() {
        let reasons = shown(&["plain text", r#"a "b"#]);
        assert!(reasons[0].starts_with("0 the line belongs neither to a VPC flow log"));
        assert_eq!(reasons[1], "2 a quote is not closed");
    }

    #[test]
    fn only_these_logs_look_like_it() {
        let headers = "version account-id interface-id srcaddr\n";
        for start in [
            FLOW,
            headers,
            &format!("2026-03-01T10:11:12Z lb {REQUEST} \"-\" - -\n"),
        ] {
            assert!(looks_like(start), "{start}");
        }
        for start in [
            "",
            "start bytes of the region\n",
            "2026-03-01T10:11:12Z INFO a b c d e f g h i j k l m\n",
            "192.0.2.7 - - [01/Mar/2026:10:11:12 +0100] \"GET / HTTP/1.1\" 200 5\n",
            "{\"version\":2}\n",
        ] {
            assert!(!looks_like(start), "{start}");
        }
    }
}

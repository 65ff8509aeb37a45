//! Kinds of observables, and which columns hold them.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::Schema;
use yagura_core::FieldPath;
use yagura_ocsf::Schema as Ocsf;
use yagura_rules::resolve;

/// A kind of observable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Ip,
    Domain,
    Host,
    User,
    Email,
    Hash,
    Url,
    Process,
    File,
    Mac,
    Port,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ip,
        Self::Domain,
        Self::Host,
        Self::User,
        Self::Email,
        Self::Hash,
        Self::Url,
        Self::Process,
        Self::File,
        Self::Mac,
        Self::Port,
    ];

    /// Returns its name, as queries, rules and configurations write it.
    pub fn name(self) -> &'static str {
        self.described().0
    }

    /// Returns the kind of a name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Its name, the `type_id` of such observables in OCSF 1.8.0, and the columns that hold them where makers of logs name them as usual.
    fn described(self) -> (&'static str, &'static [u32], &'static [&'static str]) {
        match self {
            Self::Ip => (
                "ip",
                &[2],
                &[
                    "ip",
                    "ip_address",
                    "src_ip",
                    "dst_ip",
                    "dest_ip",
                    "source_ip",
                    "destination_ip",
                    "client_ip",
                    "client_addr",
                    "server_ip",
                    "server_addr",
                    "remote_ip",
                    "assigned_ip",
                    "assigned_addr",
                    "requested_addr",
                    "sourceIPAddress",
                    "src",
                    "dst",
                    "id.orig_h",
                    "id.resp_h",
                    "c-ip",
                    "answers",
                    "source.ip",
                    "destination.ip",
                    "client.ip",
                    "host.ip",
                    "src_endpoint.ip",
                    "dst_endpoint.ip",
                    "IpAddress",
                    "SourceIp",
                    "DestinationIp",
                    "SourceAddress",
                    "DestAddress",
                    "actor_ip",
                    "callerIpAddress",
                ],
            ),
            Self::Domain => (
                "domain",
                &[1],
                &[
                    "domain",
                    "query",
                    "qname",
                    "dns_query",
                    "query_name",
                    "QueryName",
                    "dns.question.name",
                    "query.hostname",
                    "server_name",
                    "host",
                    "cs-host",
                    "DestinationHostname",
                    "dst_endpoint.hostname",
                    "url.domain",
                ],
            ),
            Self::Host => (
                "host",
                &[1],
                &[
                    "host",
                    "hostname",
                    "host_name",
                    "Computer",
                    "ComputerName",
                    "host.name",
                    "device.hostname",
                    "device.name",
                    "client_fqdn",
                    "machine",
                    "server",
                ],
            ),
            Self::User => (
                "user",
                &[4],
                &[
                    "user",
                    "user_name",
                    "username",
                    "userName",
                    "User",
                    "user.name",
                    "actor.user.name",
                    "TargetUserName",
                    "SubjectUserName",
                    "principal",
                    "userPrincipalName",
                    "actor",
                    "actor.alternateId",
                    "account",
                ],
            ),
            Self::Email => (
                "email",
                &[5],
                &[
                    "email",
                    "mail",
                    "sender",
                    "recipient",
                    "mailfrom",
                    "rcptto",
                    "user.email",
                    "actor.user.email_addr",
                ],
            ),
            Self::Hash => (
                "hash",
                &[8],
                &[
                    "hash",
                    "md5",
                    "sha1",
                    "sha256",
                    "Hashes",
                    "file.hash.md5",
                    "file.hash.sha1",
                    "file.hash.sha256",
                    "process.hash.sha256",
                ],
            ),
            Self::Url => (
                "url",
                &[6],
                &[
                    "url",
                    "uri",
                    "url.original",
                    "url.full",
                    "cs-uri",
                    "http_request.url.url_string",
                ],
            ),
            Self::Process => (
                "process",
                &[9],
                &[
                    "process",
                    "Image",
                    "process.name",
                    "process.executable",
                    "process_name",
                    "NewProcessName",
                ],
            ),
            Self::File => (
                "file",
                &[7, 45],
                &[
                    "file",
                    "file_name",
                    "filename",
                    "file_path",
                    "path",
                    "TargetFilename",
                    "file.path",
                    "file.name",
                    "ObjectName",
                    "RelativeTargetName",
                    "ImageLoaded",
                ],
            ),
            Self::Mac => (
                "mac",
                &[3],
                &[
                    "mac",
                    "mac_address",
                    "mac_addr",
                    "src_mac",
                    "dst_mac",
                    "client_mac",
                    "hwaddr",
                    "chaddr",
                    "device.mac",
                    "src_endpoint.mac",
                    "dst_endpoint.mac",
                    "source.mac",
                    "destination.mac",
                ],
            ),
            Self::Port => (
                "port",
                &[11],
                &[
                    "port",
                    "src_port",
                    "dst_port",
                    "dest_port",
                    "sport",
                    "dport",
                    "id.orig_p",
                    "id.resp_p",
                    "source_port",
                    "destination_port",
                    "SourcePort",
                    "DestinationPort",
                    "src_endpoint.port",
                    "dst_endpoint.port",
                    "source.port",
                    "destination.port",
                    "IpPort",
                ],
            ),
        }
    }

    /// Returns where the events of a table have observables of this kind: the columns that the configuration names, else those
    /// with a usual name and those whose attribute OCSF marks as such.
    pub fn fields(
        self,
        schema: &Schema,
        configured: &BTreeMap<String, Vec<FieldPath>>,
    ) -> Vec<FieldPath> {
        let (name, type_ids, usual) = self.described();
        if let Some(fields) = configured.get(name) {
            return fields.clone();
        }
        let usual = usual
            .iter()
            .filter_map(|name| name.parse::<FieldPath>().ok());
        let mut fields: Vec<FieldPath> = usual
            .filter(|path| resolve::find(schema, path).is_some())
            .collect();
        let known: BTreeSet<String> = fields.iter().map(ToString::to_string).collect();
        let marked = schema.fields().iter().map(|field| field.name());
        let marked = marked.filter(|name| !known.contains(*name));
        let marked =
            marked.filter(|name| observable(name).is_some_and(|id| type_ids.contains(&id)));
        fields.extend(marked.filter_map(|name| FieldPath::new(vec![name.clone()])));
        fields
    }
}

/// Returns the `type_id` that an attribute has as an observable, in any class.
fn observable(path: &str) -> Option<u32> {
    // Names of other makers' columns are attributes of no class.
    let mut classes = Ocsf::shipped().classes();
    classes.find_map(|class| class.attribute(path)?.observable)
}

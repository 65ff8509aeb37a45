//! Classes and attributes by name and path.

use yagura_ocsf::{BaseType, Class, Constraint, Requirement, Schema};

fn class(name: &str) -> &'static Class {
    Schema::shipped().find_class(name).unwrap()
}

#[test]
fn classes_have_the_uids_of_the_standard() {
    let schema = Schema::shipped();
    assert_eq!(schema.version(), "1.8.0");
    for (name, uid, caption, category) in [
        ("base_event", 0, "Base Event", (0, "Uncategorized")),
        (
            "process_activity",
            1007,
            "Process Activity",
            (1, "System Activity"),
        ),
        (
            "detection_finding",
            2004,
            "Detection Finding",
            (2, "Findings"),
        ),
        (
            "authentication",
            3002,
            "Authentication",
            (3, "Identity & Access Management"),
        ),
        (
            "network_activity",
            4001,
            "Network Activity",
            (4, "Network Activity"),
        ),
        (
            "dns_activity",
            4003,
            "DNS Activity",
            (4, "Network Activity"),
        ),
        (
            "api_activity",
            6003,
            "API Activity",
            (6, "Application Activity"),
        ),
        // Of the extension for Windows, which has the uid 2.
        (
            "registry_key_activity",
            201_001,
            "Registry Key Activity",
            (1, "System Activity"),
        ),
        (
            "prefetch_query",
            205_019,
            "Prefetch Query",
            (5, "Discovery"),
        ),
    ] {
        let class = schema.class(name).unwrap();
        assert_eq!(class.uid(), uid, "{name}");
        assert_eq!(class.caption(), caption);
        assert_eq!((class.category().uid, class.category().caption), category);
        assert_eq!(schema.class_by_uid(uid).unwrap().name(), name);
    }
    assert_eq!(class("registry_key_activity").extension(), Some("win"));
    assert_eq!(class("prefetch_query").deprecated(), Some("1.5.0"));
    // Classes that others only extend are none.
    for name in ["finding", "iam", "network", "system"] {
        assert!(schema.class(name).is_none(), "{name}");
    }
    let mut uids: Vec<u32> = schema.classes().map(Class::uid).collect();
    let count = uids.len();
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), count);
    assert!(schema.class_by_uid(3999).is_none());
}

#[test]
fn an_unknown_name_lists_near_ones() {
    let schema = Schema::shipped();
    let unknown = schema.find_class("authentification").unwrap_err();
    assert_eq!(
        unknown
            .to_string()
            .split(" or ")
            .next()
            .unwrap()
            .trim_end_matches('?'),
        "OCSF 1.8.0 has no class `authentification`; did you mean `authentication`"
    );
    let class = class("authentication");
    for (path, message) in [
        (
            "usr",
            "class `authentication` has no attribute `usr`; did you mean `user`",
        ),
        (
            "user.nmae",
            "`user.nmae`: object `user` has no attribute `nmae`; did you mean `name`",
        ),
        (
            "user.name.x",
            "`user.name.x`: `name` of type username_t has no attribute `x`",
        ),
        ("", "class `authentication` has no attribute ``"),
        ("user.", "`user.`: object `user` has no attribute ``"),
    ] {
        let unknown = class.find_attribute(path).unwrap_err().to_string();
        assert!(unknown.starts_with(message), "{unknown}");
        assert_eq!(class.attribute(path), None);
    }
}

#[test]
fn a_path_leads_through_objects_to_its_attribute() {
    let authentication = class("authentication");
    let ip = authentication.attribute("src_endpoint.ip").unwrap();
    assert_eq!(
        (ip.type_name, ip.base, ip.observable),
        ("ip_t", BaseType::String, Some(2))
    );
    assert!(!ip.is_array && !ip.in_array);
    let time = authentication.attribute("time").unwrap();
    assert_eq!((time.type_name, time.base), ("timestamp_t", BaseType::Long));
    assert_eq!(time.requirement, Requirement::Required);
    let user = authentication.attribute("user").unwrap();
    assert_eq!(
        (user.type_name, user.base, user.observable),
        ("user", BaseType::Object, Some(21))
    );
    let name = authentication.attribute("user.name").unwrap();
    assert_eq!((name.type_name, name.observable), ("username_t", Some(4)));

    let api = class("api_activity");
    for path in ["resources.uid", "resources[].uid", "resources[0].uid"] {
        let uid = api.attribute(path).unwrap();
        assert_eq!(
            (uid.type_name, uid.in_array, uid.is_array),
            ("resource_uid_t", true, false),
            "{path}"
        );
    }
    assert!(api.attribute("resources").unwrap().is_array);
    let free = api.attribute("unmapped.a.b").unwrap();
    assert_eq!(
        (free.base, free.requirement),
        (BaseType::Json, Requirement::Optional)
    );
    let deep = "actor.process.parent_process.parent_process.parent_process.pid";
    assert_eq!(api.attribute(deep).unwrap().observable, Some(15));
}

/// A parent, profiles, the dictionary and an extension each add their part to one attribute.
#[test]
fn parents_profiles_and_extensions_are_resolved() {
    let authentication = class("authentication");
    let activity = authentication.attribute("activity_id").unwrap();
    let captions: Vec<_> = activity
        .enum_values
        .iter()
        .map(|one| (one.id, one.caption))
        .collect();
    assert_eq!(captions[0], ("0", "Unknown"));
    assert_eq!(captions[1], ("1", "Logon"));
    assert_eq!(captions.last(), Some(&("99", "Other")));
    assert_eq!(activity.sibling, Some("activity_name"));
    assert_eq!(activity.enum_value_of("lOGON").unwrap().id, "1");
    let types = authentication.attribute("type_uid").unwrap();
    assert_eq!(
        types.enum_value("300201").unwrap().caption,
        "Authentication: Logon"
    );

    let cloud = authentication.attribute("cloud").unwrap();
    assert_eq!(
        (cloud.profiles, cloud.requirement),
        (&["cloud"][..], Requirement::Required)
    );
    assert!(!cloud.is_in(&["host"]) && cloud.is_in(&["host", "cloud"]));
    // The class itself has it, whatever the profile `host` says.
    assert!(
        authentication
            .attribute("actor")
            .unwrap()
            .profiles
            .is_empty()
    );
    // Each time stamp has a twin in the profile `datetime`.
    let twin = authentication.attribute("time_dt").unwrap();
    assert_eq!(
        (twin.type_name, twin.profiles),
        ("datetime_t", &["datetime"][..])
    );

    let process = class("process_activity");
    let both = process.attribute("process.euid").unwrap();
    assert_eq!(both.profiles, ["linux/linux_users", "macos/macos_users"]);
    assert_eq!(
        process
            .attribute("process.hosted_services")
            .unwrap()
            .type_name,
        "win_service"
    );
    let key = class("registry_key_activity")
        .attribute("reg_key.path")
        .unwrap();
    assert_eq!(
        (key.type_name, key.observable),
        ("reg_key_path_t", Some(46))
    );

    // Most special first: the attribute of an object, the attribute in general, the type.
    assert_eq!(
        process.attribute("process.uid").unwrap().observable,
        Some(39)
    );
    assert_eq!(
        process.attribute("process.cmd_line").unwrap().observable,
        Some(13)
    );
    assert_eq!(
        process.attribute("process.file.path").unwrap().observable,
        Some(45)
    );
    let schema = Schema::shipped();
    assert_eq!(schema.observable_caption(2), Some("IP Address"));
    assert_eq!(schema.observable_caption(31), Some("User Object: uid"));
    let kinds = class("detection_finding")
        .attribute("observables.type_id")
        .unwrap();
    assert_eq!(kinds.enum_value("46").unwrap().caption, "Registry Key Path");
    assert_eq!(kinds.enum_value("99").unwrap().caption, "Other");

    let constraint = &authentication.constraints()[0];
    assert_eq!(
        *constraint,
        Constraint::AtLeastOne(vec!["service", "dst_endpoint"])
    );
}

#[test]
fn leaf_paths_end_at_the_depth() {
    let class = class("dns_activity");
    let one = class.paths(1);
    assert!(one.contains(&"time".to_owned()) && one.contains(&"unmapped".to_owned()));
    assert!(
        !one.contains(&"src_endpoint".to_owned()),
        "an object is no leaf"
    );
    let two = class.paths(2);
    for path in ["answers.rdata", "src_endpoint.ip", "query.hostname"] {
        assert!(two.contains(&path.to_owned()), "{path}");
    }
    assert!(two.iter().all(|path| path.split('.').count() <= 2));
    assert!(two.is_sorted() && two.len() > one.len());
    for path in &two {
        let attribute = class.attribute(path).unwrap();
        let is_free = attribute.type_name == "object";
        assert!(attribute.base != BaseType::Object || is_free, "{path}");
    }
    assert!(class.paths(0).is_empty());
    let schema = Schema::shipped();
    let endpoint = schema.object("network_endpoint").unwrap();
    assert!(endpoint.iter().any(|attribute| attribute.name == "ip"));
    assert_eq!(schema.object("object").map(<[_]>::len), Some(0));
    assert!(schema.object("ip_t").is_none());
}

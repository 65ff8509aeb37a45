use std::collections::BTreeMap;
use yagura_lake::{ingest, IngestOptions, Location};
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rt = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let to = Location::parse(&args[0], &BTreeMap::new()).unwrap();
    let mut o = IngestOptions::new(&args[1], to);
    if let Ok(r) = std::env::var("REJECTS") { o.rejects = Some(r.into()); }
    if let Ok(r) = std::env::var("CHUNK") { o.chunk_bytes = r.parse::<usize>().unwrap() << 20; }
    let files: Vec<_> = args[2..].iter().map(Into::into).collect();
    let t = std::time::Instant::now();
    let r = rt.block_on(ingest(o, &files, |_| {}));
    let hwm = std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmHWM")).unwrap().to_owned();
    match r { Ok(r) => println!("{:?} {:.2}s {hwm}", r, t.elapsed().as_secs_f64()), Err(e) => println!("ERR {e} / {:?}", std::error::Error::source(&e)) }
}

//! Datagrams that the system dropped, because they came faster than they were taken from the socket.

use std::os::fd::AsFd;

/// Returns how many datagrams Linux dropped at a socket since it was made; nothing where that cannot be read.
///
/// Source: the column `drops` of `/proc/net/udp`, of the line with the socket's inode (proc(5)).
pub(crate) fn dropped(socket: &impl AsFd) -> Option<u64> {
    let inode = rustix::fs::fstat(socket).ok()?.st_ino.to_string();
    ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .find_map(|text| drops(&text, &inode))
}

fn drops(text: &str, inode: &str) -> Option<u64> {
    text.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        (columns.get(9) == Some(&inode)).then(|| columns.last()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  325: 0100007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12345 2 0000000000000000 678
  326: 0100007F:0203 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12346 2 0000000000000000 0\n";

    #[test]
    fn the_line_of_the_socket_has_its_drops() {
        assert_eq!(drops(TEXT, "12345"), Some(678));
        assert_eq!(drops(TEXT, "12346"), Some(0));
        assert_eq!(drops(TEXT, "678"), None);
    }

    #[test]
    fn what_the_system_drops_is_counted() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(dropped(&socket), Some(0));
        // Nobody receives: at some point the socket's buffer is full.
        for _ in 0..5_000 {
            sender.send_to(&[b'x'; 8_000], to).unwrap();
        }
        assert!(dropped(&socket).unwrap() > 0);
    }
}

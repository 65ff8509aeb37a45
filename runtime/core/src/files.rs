//! Files that somebody else named: a pack's author, or whoever wrote into a folder.
//!
//! A name must not lead out of its folder, and reading must end: a named pipe waits for ever, and a device gives bytes for ever.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// The most bytes of a text that people write: a rule, a manifest, a field map.
pub const MOST_TEXT: u64 = 16 << 20;

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// When it is no regular file, is longer, or cannot be read.
pub fn read(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    check(file, most)?;
    let mut bytes = Vec::new();
    // It may have grown meanwhile.
    File::open(file)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(too_long(most)),
        false => Ok(bytes),
    }
}

/// Reads a text of at most [`MOST_TEXT`] bytes from a regular file.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(file: &Path) -> io::Result<String> {
    String::from_utf8(read(file, MOST_TEXT)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Checks that this is a regular file of at most `most` bytes.
///
/// # Errors
/// When it is not.
pub fn check(file: &Path, most: u64) -> io::Result<()> {
    let found = std::fs::metadata(file)?;
    if !found.is_file() {
        let what = if found.is_dir() {
            "it is a directory"
        } else {
            "it is not a regular file"
        };
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    match found.len() > most {
        true => Err(too_long(most)),
        false => Ok(()),
    }
}

fn too_long(most: u64) -> io::Error {
    let message = match most >> 20 {
        0 => format!("it has more than {most} bytes"),
        mib => format!("it has more than {mib} MiB"),
    };
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// Returns where a file of a folder is, by its name in it. Neither the name nor a symbolic link may lead out of the folder.
///
/// # Errors
/// When it does, or there is no such file.
pub fn inside(folder: &Path, name: &Path) -> io::Result<PathBuf> {
    let leads_out = || {
        io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("it leads out of {}", folder.display()),
        )
    };
    let mut parts = name.components();
    if !parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(leads_out());
    }
    let file = folder.join(name);
    match file.canonicalize()?.starts_with(folder.canonicalize()?) {
        true => Ok(file),
        false => Err(leads_out()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_ends_and_stays_in_its_folder() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("pack");
        std::fs::create_dir_all(folder.join("below")).unwrap();
        std::fs::write(outer.path().join("secret"), "s").unwrap();
        std::fs::write(folder.join("below/a"), "abc").unwrap();
        let file = inside(&folder, Path::new("below/a")).unwrap();
        assert_eq!(read(&file, 3).unwrap(), b"abc");
        assert_eq!(read_text(&file).unwrap(), "abc");
        let error = read(&file, 2).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 2 bytes");
        for name in ["../secret", "/etc/passwd", "below/../../secret"] {
            let error = inside(&folder, Path::new(name)).unwrap_err().to_string();
            assert!(error.contains("leads out of"), "{name}: {error}");
        }
        assert!(inside(&folder, Path::new("not there")).is_err());
        assert!(
            read(&folder, 9)
                .unwrap_err()
                .to_string()
                .contains("directory")
        );
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(outer.path().join("secret"), folder.join("link")).unwrap();
            assert!(inside(&folder, Path::new("link")).is_err());
            for device in ["/dev/zero", "/dev/null"] {
                let error = read(Path::new(device), 9).unwrap_err().to_string();
                assert_eq!(error, "it is not a regular file", "{device}");
            }
            let pipe = folder.join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            if made.is_ok_and(|status| status.success()) {
                assert!(read(&pipe, 9).is_err());
            }
        }
    }
}

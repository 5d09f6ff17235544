//! Where benchmark stores are made: fresh ones, on a real disk, removed afterwards unless the user named the place.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;

use crate::connect;
use crate::fault::Fault;

/// The root of all stores of one run.
pub(super) struct Place {
    /// The URL without a path's end and with its options apart, if it is a `file:` URL.
    base: Base,
    /// Removed at the end.
    temporary: Option<PathBuf>,
    taken: RefCell<HashMap<String, u32>>,
    /// Namespaces on a server that are not erased yet, as URLs.
    made: RefCell<Vec<String>>,
}

enum Base {
    Directory { path: PathBuf, options: String },
    Other(String),
}

impl Place {
    /// The place that the URL names, or a temporary directory beside the current one (`/tmp` may be memory, and a
    /// benchmark of a disk belongs on the disk).
    pub(super) fn new(url: Option<&str>) -> Result<Self, Fault> {
        let (base, temporary) = match url {
            Some(url) => match url.strip_prefix("file:") {
                Some(rest) => {
                    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
                    let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
                    (Base::Directory { path: path.into(), options: options.to_owned() }, None)
                }
                None => (Base::Other(url.to_owned()), None),
            },
            None => {
                let path = PathBuf::from(format!(".windlass-bench-{}", std::process::id()));
                std::fs::create_dir(&path).map_err(|error| Fault::file(path.display(), &error))?;
                (Base::Directory { path: path.clone(), options: String::new() }, Some(path))
            }
        };
        Ok(Self { base, temporary, taken: RefCell::new(HashMap::new()), made: RefCell::default() })
    }

    /// The URL of a store that nobody has used; a second one of that name gets a number.
    pub(super) fn fresh(&self, name: &str) -> String {
        match &self.base {
            // A namespace of its own on the server, erased when it has been measured.
            Base::Other(url) if url.starts_with("redis") || url.starts_with("postgres") => {
                let mut taken = self.taken.borrow_mut();
                let number = taken.entry(name.to_owned()).or_default();
                *number += 1;
                let url =
                    connect::in_namespace(url, &format!("bench_{}_{name}_{number}", std::process::id()));
                self.made.borrow_mut().push(url.clone());
                url
            }
            Base::Other(url) => url.clone(),
            Base::Directory { path, options } => {
                let mut taken = self.taken.borrow_mut();
                let number = taken.entry(name.to_owned()).or_default();
                loop {
                    let directory = match *number {
                        0 => path.join(name),
                        n => path.join(format!("{name}-{}", n + 1)),
                    };
                    *number += 1;
                    if !directory.exists() {
                        let options = if options.is_empty() { String::new() } else { format!("?{options}") };
                        return format!("file:{}{options}", directory.display());
                    }
                }
            }
        }
    }

    /// A file for a measurement on the disk of that store; none where there is no such disk.
    pub(super) fn beside(url: &str) -> Option<PathBuf> {
        let path = url.strip_prefix("file:")?;
        Some(format!("{}.floor", path.split('?').next().unwrap_or(path)).into())
    }

    /// A store that is measured only needs room until the next one is made.
    ///
    /// # Errors
    /// When it is on a server that cannot be asked.
    pub(super) async fn discard(&self, url: &str) -> Result<(), Fault> {
        if self.temporary.is_some()
            && let Some(rest) = url.strip_prefix("file:")
        {
            // What cannot be removed now goes with the whole directory at the end, or is told then.
            let _ = std::fs::remove_dir_all(rest.split('?').next().unwrap_or(rest));
        }
        connect::erase_url(url).await?;
        self.made.borrow_mut().retain(|made| made != url);
        Ok(())
    }

    /// Removes what was temporary; answers the namespaces that could not be erased, since their server is away, as URLs with all that is in
    /// them.
    pub(super) async fn remove(&self) -> Vec<String> {
        if let Some(path) = &self.temporary {
            // Somebody else may have removed it already; that is as good.
            let _ = std::fs::remove_dir_all(path);
        }
        let mut left = Vec::new();
        for url in self.made.take() {
            if connect::erase_url(&url).await.is_err() {
                left.push(url);
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_is_fresh_and_keeps_the_options_of_the_url() {
        let place = Place::new(Some("file:/no/such/place?ack=process")).expect("a place");
        assert_eq!(place.fresh("enqueue"), "file:/no/such/place/enqueue?ack=process");
        assert_eq!(place.fresh("enqueue"), "file:/no/such/place/enqueue-2?ack=process");
        assert_eq!(Place::new(Some("memory:")).expect("a place").fresh("enqueue"), "memory:");
    }
}

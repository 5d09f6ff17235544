//! How many jobs of which queue stand in one chunk of slots, so that a list of one queue passes over the other chunks,
//! however many jobs other queues have.

/// The queues of one chunk, by number, each with its jobs. A chunk mostly holds a few queues, and never more than slots.
#[derive(Debug, Default)]
pub(crate) struct Census(Vec<(u16, u16)>);

impl Census {
    /// One job more of that queue.
    pub(crate) fn enter(&mut self, queue: u16) {
        match self.place(queue) {
            Ok(at) => self.0[at].1 += 1,
            Err(at) => self.0.insert(at, (queue, 1)),
        }
    }

    /// One job fewer.
    pub(crate) fn leave(&mut self, queue: u16) {
        let Ok(at) = self.place(queue) else { return debug_assert!(false, "who leaves has entered") };
        self.0[at].1 -= 1;
        if self.0[at].1 == 0 {
            self.0.remove(at);
        }
    }

    /// Whether it holds any.
    pub(crate) fn has(&self, queue: u16) -> bool {
        self.place(queue).is_ok()
    }

    fn place(&self, queue: u16) -> Result<usize, usize> {
        self.0.binary_search_by_key(&queue, |(number, _)| *number)
    }
}

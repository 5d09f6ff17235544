//! What a server remembers: the newest so many of a kind, found by name; the oldest are forgotten.

use std::collections::{HashMap, VecDeque};

/// Things with a name each, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    most: usize,
    items: VecDeque<(String, T)>,
    /// How many have been forgotten: the number of the first that is kept.
    first: u64,
    numbers: HashMap<String, u64>,
}

impl<T> Kept<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, items: VecDeque::new(), first: 0, numbers: HashMap::new() }
    }

    pub(crate) fn push(&mut self, name: &str, item: T) {
        if self.items.len() >= self.most {
            self.forget_oldest();
        }
        self.numbers.insert(name.to_owned(), self.first + self.items.len() as u64);
        self.items.push_back((name.to_owned(), item));
    }

    pub(crate) fn forget_oldest(&mut self) -> Option<T> {
        let (name, item) = self.items.pop_front()?;
        self.numbers.remove(&name);
        self.first += 1;
        Some(item)
    }

    pub(crate) fn clear(&mut self) {
        while self.forget_oldest().is_some() {}
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.items.get(self.index(name)?).map(|(_, item)| item)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        let index = self.index(name)?;
        self.items.get_mut(index).map(|(_, item)| item)
    }

    fn index(&self, name: &str) -> Option<usize> {
        usize::try_from(self.numbers.get(name)? - self.first).ok()
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &T> {
        self.items.iter().rev().map(|(_, item)| item)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// How many came in all.
    pub(crate) fn seen(&self) -> u64 {
        self.first + self.items.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_found_by_name_and_the_oldest_are_forgotten() {
        let mut kept = Kept::new(3);
        for number in 0..10 {
            kept.push(&format!("n{number}"), number);
        }
        assert_eq!((kept.len(), kept.seen(), kept.numbers.len()), (3, 10, 3));
        assert_eq!(kept.newest_first().copied().collect::<Vec<_>>(), [9, 8, 7]);
        assert_eq!((kept.get("n6"), kept.get("n7"), kept.get("n9")), (None, Some(&7), Some(&9)));
        *kept.get_mut("n8").unwrap() = 80;
        assert_eq!(kept.get("n8"), Some(&80));
        kept.clear();
        kept.push("again", 1);
        assert_eq!((kept.get("again"), kept.get("n9"), kept.seen()), (Some(&1), None, 11));
    }
}

//! Chance, from a seed that is printed.

/// The seed when nobody gives another.
const SEED: u64 = 0x5eed_7a11;

/// Random numbers of a test, from a seed that it prints.
pub struct Dice(u64);

impl Dice {
    /// Dice with the seed in `WINDLASS_SEED`, or with one that is the same on every run, so that a test that begins
    /// to fail was made to fail by a change; printed either way.
    pub fn new(test: &str) -> Self {
        let seed = std::env::var("WINDLASS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
        println!("{test}: WINDLASS_SEED={seed}");
        Self(seed | 1)
    }

    /// Dice of one of several players, from a seed that somebody else has printed.
    pub fn of_seed(seed: u64) -> Self {
        // Neighbouring seeds must not begin alike, and the generator stands still at 0.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        // xorshift64* (Vigna, 2014).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.any() >> 11) % n
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}
